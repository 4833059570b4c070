"""A response that comes in parts, and what is held for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger(__name__)


class Streamed(StreamingResponse):
    """What is held is given back when the response ends, however it ends. A reader who takes nothing for `patience`
    seconds gets no more. A proxy is asked not to collect the parts before it passes them on.
    """

    def __init__(self, parts: AsyncIterable[bytes], held: AsyncExitStack, patience: float, media_type: str) -> None:
        super().__init__(parts, headers={"X-Accel-Buffering": "no"}, media_type=media_type)
        self.held = held
        self.patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.patience):
                await send(message)

        async with self.held:
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                log.info("request %s is given up: its reader takes nothing", scope["state"]["request_id"])
