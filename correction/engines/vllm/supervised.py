"""Keeps a vLLM alive: what died is closed and another is started in its place, behind one backend that stays.

It knows when a backend has trouble and how to make a new one, and nothing of processes, servers or passes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from correction.engines.vllm.backend import Asked, Backend, Generated, Told
from correction.errors import EngineUnavailable

LOOK_SECONDS = 1.0  # between looks at a backend of which nothing is asked
LONGEST_PAUSE = 30.0  # between two starts; the first is made at once, then the pauses double from one second
STEADY_SECONDS = 60.0  # what has lived so long starts again without a pause

logger = logging.getLogger(__name__)


class Supervised:
    """A backend from `make`, and another one whenever that has trouble, until it is closed.

    The first start is the caller's: if it fails, so does `start`. Later ones happen in the background, and meanwhile
    passes fail at once with `EngineUnavailable`. `restarts` counts those that succeeded.
    """

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make = make
        self._backend = make()
        self.restarts = 0
        self._outage: str | None = None
        self._context = 0
        self._failed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._retiring: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> int:
        self._context = await self._backend.start()
        self._keeper = asyncio.create_task(self._keep())
        return self._context

    @property
    def trouble(self) -> str | None:
        """What is wrong now."""
        return "the engine is closed" if self._closed else self._outage or self._backend.trouble

    async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
        if trouble := self.trouble:
            raise EngineUnavailable(f"vLLM cannot answer now ({trouble})", hint="try again later")
        if len(asked.prompt) + asked.sampling.max_tokens > self._context:
            raise EngineUnavailable(
                f"since it was started again vLLM has room for {self._context} tokens a pass",
                hint="give its KV cache more memory",
            )
        try:
            return await self._backend.generate(asked, told)
        except EngineUnavailable:
            self._failed.set()  # perhaps it died: look now
            raise

    async def close(self) -> None:
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._retiring is not None:
            await self._retiring
        await self._backend.close()

    async def _keep(self) -> None:
        pause = 0.0
        while True:
            began = time.monotonic()
            self._outage = await self._next_trouble()
            pause = 0.0 if time.monotonic() - began > STEADY_SECONDS else pause
            logger.warning("vLLM does not answer, another is started: %s", self._outage)
            began = time.monotonic()
            while not await self._replaced(pause):
                pause = _longer(pause)
            pause = _longer(pause)
            logger.info("vLLM answers again after %.0f seconds", time.monotonic() - began)

    async def _next_trouble(self) -> str:
        while (trouble := self._backend.trouble) is None:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._failed.wait()
            except TimeoutError:
                pass
            self._failed.clear()
        return trouble

    async def _replaced(self, pause: float) -> bool:
        """Closes what there is and, after a pause, tries to start another."""
        # A task of its own, because a close that was cut short could leave processes behind.
        self._retiring = asyncio.create_task(self._retire(self._backend))
        await asyncio.shield(self._retiring)
        await asyncio.sleep(pause)
        self._backend = self._make()
        try:
            self._context = await self._backend.start()
        except EngineUnavailable as error:
            self._outage = str(error)
        except Exception as error:
            logger.exception("vLLM could not be started")
            self._outage = f"it could not be started ({type(error).__name__})"
        else:
            self._outage = None
            self.restarts += 1
            return True
        return False

    @staticmethod
    async def _retire(backend: Backend) -> None:
        try:
            await backend.close()
        except Exception:
            logger.exception("vLLM could not be closed")


def _longer(pause: float) -> float:
    return min(max(1.0, 2 * pause), LONGEST_PAUSE)
