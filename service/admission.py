"""Who may be answered now: a limit on questions in flight, a deadline, and an end to work that nobody waits for.

Knows nothing of questions; only counts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import Request

from service.errors import ClientGone, DeadlineExceeded, Overloaded

T = TypeVar("T")


class Admission:
    """Counts the questions in flight and turns away what goes beyond the limit."""

    def __init__(self, limit: int, deadline: float) -> None:
        self.limit = limit
        self.deadline = deadline
        self.in_flight = 0

    @contextmanager
    def admit(self, questions: int) -> Iterator[None]:
        """Holds places for all questions of a request or, raising `Overloaded`, for none."""
        if self.in_flight + questions > self.limit:
            raise Overloaded(
                f"{self.in_flight} questions are being answered, the limit is {self.limit}",
                hint="send the request again after the time in Retry-After",
            )
        self.in_flight += questions
        try:
            yield
        finally:
            self.in_flight -= questions

    async def in_time(self, work: Awaitable[T]) -> T:
        """The result of the work; raises `DeadlineExceeded` and cancels it when its time is over."""
        try:
            async with asyncio.timeout(self.deadline) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():  # the work's own, not ours
                raise
            raise DeadlineExceeded(
                f"no answer within {self.deadline:g} seconds", hint="send fewer questions at once, or try again later"
            ) from None


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled when the client goes away. The request's body must have been read."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("the client closed the connection")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
