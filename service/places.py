"""Places that one request holds, and how its work goes through them: one piece or a list."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Self, TypeVar

from correction.errors import HopfixError
from service.errors import DeadlineExceeded

if TYPE_CHECKING:
    from service.admission import Admission, Line

T = TypeVar("T")


class Places:
    """`count` of them, `most` at most. Some may be lost, even all, when there are no others for a client with fewer."""

    def __init__(self, admission: Admission, line: Line, most: int, deadline: float) -> None:
        self.count = 0
        self.most = most
        self.line = line
        self.deadline = deadline
        self.running = 0
        self._admission = admission
        self._busy = 0  # running, or waiting in the line
        self._parked: deque[asyncio.Future[bool]] = deque()  # out of the line until another of these places is free

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.leave(self)
        self.count = 0

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result; it waits for its turn first, and before that for one of these places.

        Raises `DeadlineExceeded` and cancels the work when its time is over, `Overloaded` if its place was taken away.
        """
        time = asyncio.get_running_loop().time
        came = time()
        try:
            async with asyncio.timeout(self.deadline) as limit:
                await self._turn()
                began = time()
                try:
                    self._admission.on_wait(began - came)
                    return await work()
                finally:
                    self._end(time() - began)
        except TimeoutError:
            if not limit.expired():  # the work's own
                raise
            self._admission.on_refused("deadline")
            raise DeadlineExceeded(
                f"no answer within {self.deadline:g} seconds", hint="send fewer questions at once, or try again later"
            ) from None

    async def each(self, works: Iterable[Callable[[], Awaitable[T]]]) -> AsyncGenerator[T | HopfixError]:
        """The results in order, as many at once as there are places; a failed one is its error and spoils no other.

        It is never further ahead of its reader than there are places, so memory does not grow with the works. A reader
        who may stop early closes it, by `aclosing`, before it leaves the places.
        """
        window: deque[asyncio.Task[T | HopfixError]] = deque()
        try:
            for work in works:
                self._admission.fill(self)
                while window and len(window) >= self.count:
                    yield await window.popleft()
                window.append(asyncio.create_task(self._attempt(work)))
            while window:
                yield await window.popleft()
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    def grow(self, more: int) -> None:
        """So many more places."""
        self.count += more
        self._unpark()

    def begin(self) -> None:
        """A turn has come."""
        self.running += 1
        self.line.running += 1

    def give_up(self) -> bool:
        """Frees a place for another client: an idle one, else that of the newest that waits.

        What waited there goes on in another of these places; it is turned away if this was the last.
        """
        if self.count == self._busy:
            waiting = (turn for turn, places in reversed(self.line.waiting.items()) if places is self)
            newest = next((turn for turn in waiting if not turn.done()), None)
            if newest is None:
                return False
            self._admission.forget(newest, self.line)
            self._busy -= 1
            self._parked.appendleft(newest)
        self.count -= 1
        self._admission.give_back(self.line, 1)
        if not self.count:
            for turn in [turn for turn in self._parked if not turn.done()]:
                self._parked.remove(turn)
                turn.set_result(False)
        return True

    async def _attempt(self, work: Callable[[], Awaitable[T]]) -> T | HopfixError:
        try:
            return await self.run(work)
        except HopfixError as error:
            return error

    async def _turn(self) -> None:
        if not self.count:
            raise self._admission.overloaded("displaced")
        turn = asyncio.get_running_loop().create_future()
        if self._busy == self.count:
            self._parked.append(turn)
        else:
            self._busy += 1
            self._admission.wait(turn, self)
        try:
            granted = await turn
        except asyncio.CancelledError:
            if turn in self._parked:
                self._parked.remove(turn)
            elif turn.cancelled():
                self._admission.forget(turn, self.line)
                self._leave()
            elif turn.result():  # it had come just now
                self._end(0.0)
            raise
        if not granted:
            raise self._admission.overloaded("displaced")

    def _end(self, seconds: float) -> None:
        self.running -= 1
        self.line.running -= 1
        self._leave()
        self._admission.end(seconds)

    def _leave(self) -> None:
        """One of these places is idle."""
        self._busy -= 1
        self._unpark()

    def _unpark(self) -> None:
        """What is parked goes into the line, as far as there are idle places."""
        for turn in [turn for turn in self._parked if not turn.done()][: self.count - self._busy]:
            self._parked.remove(turn)
            self._busy += 1
            self._admission.wait(turn, self)
