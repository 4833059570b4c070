"""Shadow mode: the plain answer is served, and what correction would have said is worked out afterwards and logged.

So an operator can see on their own traffic what correction would change, and how sure it is, before switching it on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from service.schemas import AnswerRequest

if TYPE_CHECKING:
    from correction.answers import Answer

AT_ONCE = 4  # so few that the questions being served hardly notice
BACKLOG = 256
log = logging.getLogger(__name__)


class Shadow:
    """Corrects in the background, and drops what it has no time for.

    ask: gives the corrected answer. count: hears of each question's outcome, `agrees`, `differs`, `uncorrected`,
    `failed` or `dropped`. texts: whether questions and answers may be logged.
    """

    def __init__(
        self,
        ask: Callable[[AnswerRequest], Awaitable[Answer]],
        count: Callable[[str], None],
        *,
        deadline: float,
        texts: bool,
    ) -> None:
        self._ask = ask
        self._count = count
        self._deadline = deadline
        self._texts = texts
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: AnswerRequest, served: str, request_id: str) -> None:
        """Corrects what was served, some time; returns at once."""
        if len(self._tasks) == BACKLOG:
            self._count("dropped")
            return
        task = asyncio.create_task(self._correct(request, served, request_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what has not been corrected yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _correct(self, request: AnswerRequest, served: str, request_id: str) -> None:
        async with self._turns:
            time = asyncio.get_running_loop().time
            began = time()
            try:
                async with asyncio.timeout(self._deadline):
                    answer = await self._ask(request)
            except Exception as error:
                self._count("failed")
                log.warning("not corrected: %s", type(error).__name__, extra={"request_id": request_id})
                return
        agrees = answer.answer.strip() == served.strip()
        outcome = ("agrees" if agrees else "differs") if answer.corrected else "uncorrected"
        self._count(outcome)
        record = {
            "request_id": request_id,
            "agrees": agrees,
            "corrected": answer.corrected,
            "fallback": answer.fallback and answer.fallback.reason,
            "confidence": answer.confidence,
            "seconds": round(time() - began, 6),
        }
        if self._texts:
            record |= {"question": request.to_question().direct_text, "served": served, "answer": answer.answer}
        log.info("%s, confidence %s", outcome, answer.confidence, extra=record)
