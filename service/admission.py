"""Who may be answered now: places, turns between clients, and an end to work that nobody waits for.

A place is the right to have one piece of work waiting or running. Work waits in its client's own line, and clients take
turns, so that one with much waiting does not delay one with little. Knows nothing of questions; only counts work.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import Request

from correction.errors import InvalidInput
from service.errors import ClientGone, Overloaded
from service.places import Places

T = TypeVar("T")
DEADLINE = "X-Deadline-Seconds"
_RECENT = 0.1  # weight of the latest in the moving mean of how long work runs


@dataclass(eq=False)
class Line:
    """What one client holds, and what waits of it, oldest first."""

    client: str
    held: int = 0
    running: int = 0
    requests: dict[Places, None] = field(default_factory=dict)
    waiting: dict[asyncio.Future[bool], Places] = field(default_factory=dict)


class Admission:
    """At most `at_once` run, `queued` more wait, and each has `deadline` seconds for both.

    on_wait hears how many seconds work has waited when it starts; on_refused why there was no answer: `full`,
    `displaced` by a client that holds less, or `deadline`.
    """

    def __init__(self, at_once: int, queued: int, deadline: float) -> None:
        self.at_once = at_once
        self.limit = at_once + queued
        self.deadline = deadline
        self.taken = 0
        self.running = 0
        self.on_wait: Callable[[float], None] = lambda seconds: None
        self.on_refused: Callable[[str], None] = lambda reason: None
        self._lines: dict[str, Line] = {}  # of those with a request
        self._turns: dict[Line, None] = {}  # lines in which something waits, the next one first
        self._seconds = 0.0

    @property
    def full(self) -> bool:
        """Whether all places are taken; a client may still get one of another's."""
        return self.taken == self.limit

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(len(line.waiting) for line in self._turns)

    def reserve(self, client: str, most: int = 1, deadline: float | None = None) -> Places:
        """As many places as are free, `most` at most; raises `Overloaded` at once if not one can be had.

        To be used as a context manager, which gives them back. `deadline` may shorten the usual one, in seconds.
        """
        line = self._lines.get(client) or Line(client)
        if self.full:
            lent = self._displaceable(line)
            if lent is None or not lent.give_up():
                raise self.overloaded("full")
        places = Places(self, line, most, min(deadline or self.deadline, self.deadline))
        self._lines[client] = line
        line.requests[places] = None
        self.fill(places)
        return places

    def check(self, client: str) -> None:
        """Raises `Overloaded` if `reserve` would have no place: for those who have not read the request yet."""
        if self.full and self._displaceable(self._lines.get(client) or Line(client)) is None:
            raise self.overloaded("full")

    def fill(self, places: Places) -> None:
        """Gives it what is free, up to what it can use."""
        more = min(places.most - places.count, self.limit - self.taken)
        places.line.held += more
        self.taken += more
        places.grow(more)

    def give_back(self, line: Line, count: int) -> None:
        """So many places of this line are free."""
        self.taken -= count
        line.held -= count

    def leave(self, places: Places) -> None:
        """A request has ended."""
        self.give_back(places.line, places.count)
        del places.line.requests[places]
        if not places.line.requests:
            del self._lines[places.line.client]

    def wait(self, turn: asyncio.Future[bool], places: Places) -> None:
        """The future is told when its turn has come, which may be at once."""
        if self.running < self.at_once:
            self.running += 1
            places.begin()
            turn.set_result(True)
            return
        places.line.waiting[turn] = places
        self._turns.setdefault(places.line)

    def forget(self, turn: asyncio.Future[bool], line: Line) -> None:
        """It waits no longer."""
        line.waiting.pop(turn, None)
        if not line.waiting:
            self._turns.pop(line, None)

    def end(self, seconds: float) -> None:
        """A turn has ended after so long: the next line's oldest takes it, and that line goes to the end."""
        self._seconds += _RECENT * (seconds - self._seconds)
        while self._turns:
            line = next(iter(self._turns))
            turn, places = next(iter(line.waiting.items()))
            del self._turns[line], line.waiting[turn]
            if line.waiting:
                self._turns[line] = None
            if not turn.done():  # else it was cancelled just now
                places.begin()
                turn.set_result(True)
                return
        self.running -= 1

    def overloaded(self, reason: str) -> Overloaded:
        """The error for work that is turned away."""
        self.on_refused(reason)
        return Overloaded(
            f"all {self.limit} places are taken",
            hint="send the request again after the time in Retry-After",
            retry_after=math.ceil(self._seconds / self.at_once),  # until one of those that run is done
        )

    def _displaceable(self, newcomer: Line) -> Places | None:
        """Who may give up a place for the newcomer: a request of the client that holds most and does not run in all.

        Where that is no more than the newcomer's own, a list of its own may have one to spare.
        """
        most = max(
            (line for line in self._lines.values() if line.held > line.running),
            key=lambda line: line.held,
            default=newcomer,
        )
        if most.held > newcomer.held + 1:  # else the two would only change places
            newest_first = [places for places in reversed(most.requests) if places.count > places.running]
        else:
            newest_first = [places for places in reversed(newcomer.requests) if places.count > max(places.running, 1)]
        return max(newest_first, key=lambda places: places.count, default=None)


def deadline_of(request: Request) -> float | None:
    """The seconds that the client has for an answer, if it says so; raises `InvalidInput`."""
    given = request.headers.get(DEADLINE)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidInput(f"{DEADLINE} is no number above 0", hint="send seconds, such as 2.5", param=DEADLINE)
    return seconds


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of the work, which is cancelled when the client goes away. The request's body must have been read."""
    try:
        async with asyncio.timeout(None) as limit:
            watch = asyncio.create_task(_end_when_gone(request, limit))
            try:
                return await work
            finally:
                watch.cancel()
    except TimeoutError:
        if not limit.expired():  # the work's own
            raise
        raise ClientGone("the client closed the connection") from None


async def _end_when_gone(request: Request, limit: asyncio.Timeout) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    limit.reschedule(0)
