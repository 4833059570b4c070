"""uvicorn, stopped gracefully: what has a place is answered first, and what comes meanwhile is told to go elsewhere."""

from __future__ import annotations

import math
import time
from types import FrameType

import uvicorn

from service.state import State

NOTICE = 1.0  # seconds in which clients with an open connection hear that they are to go elsewhere


class Server(uvicorn.Server):
    """On the first signal the service drains; on the second, or after the deadline, it closes as it is.

    uvicorn itself would close its port at once: a new question would find nobody, instead of an answer that says why.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state
        self._told = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Only notes it: this may interrupt anything."""
        if self._state.draining:
            super().handle_exit(sig, frame)
        else:
            self._state.drain()
            self._told = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to close."""
        if self._state.draining:
            seconds = time.monotonic() - self._told
            noticed = seconds > NOTICE or not self.server_state.connections
            done = noticed and not self._state.admission.taken
            self.should_exit = self.should_exit or done or seconds > self._state.settings.deadline_seconds
        return await super().on_tick(counter)
