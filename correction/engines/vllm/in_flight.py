"""Calls that a close can end: their callers then hear that the engine was closed, instead of waiting for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from correction.errors import EngineUnavailable

T = TypeVar("T")


class InFlight:
    """What is running now."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; cancelling the call cancels the work."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._ended and caller is not None and not caller.cancelling():
                raise EngineUnavailable("the engine was closed") from None
            raise

    async def end(self) -> None:
        """Ends everything; the callers get `EngineUnavailable`."""
        self._ended = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
