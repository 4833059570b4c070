"""What waits for the custom forward, and which of it makes the next batch: oldest first, within a lane's limits.

Few tokens and many have a lane each. A lane's passes wait for its own batches alone, and lanes take turns on the model,
so that an answer of a few tokens is quick while a long completion runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field

from correction.forward import Batch
from correction.passes import Heard, Pass, PassResult

MOST_PASSED_OVER = 1  # batches that the oldest pass lets others go first


@dataclass(eq=False)
class Waiting:
    """A pass that somebody waits for. told: how many of its tokens `heard` has been told."""

    request: Pass
    future: asyncio.Future[PassResult]
    heard: Heard | None = None
    told: int = 0
    passed_over: int = 0

    @property
    def width(self) -> int:
        return len(self.request.prompt) + self.request.sampling.max_tokens


@dataclass(eq=False)
class Live:
    """A batch that runs, made in the worker thread."""

    lane: Lane
    entries: list[Waiting]
    batch: Batch | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self.entries[0].future.get_loop()

    @property
    def tokens(self) -> int:
        return _tokens(self.entries)


@dataclass(eq=False)
class Lane:
    """batches: how many run at once. rows: the most of each. tokens: the most of all together, padding included.

    steps: how many a batch does at each of its turns on the model.
    """

    batches: int
    rows: int
    tokens: int
    steps: int
    waiting: deque[Waiting] = field(default_factory=deque)
    again: deque[list[Waiting]] = field(default_factory=deque)  # parts of failed batches, to run one by one
    live: list[Live] = field(default_factory=list)

    def next(self) -> Live | None:
        """The next batch, None if nothing waits or it has to wait for one that runs."""
        self.live = [live for live in self.live if not live.loop.is_closed()]
        if len(self.live) >= (1 if self.again else self.batches):
            return None
        entries = self.again.popleft() if self.again else self._oldest()
        entries = [entry for entry in entries if not entry.future.done()]
        if not entries:
            return self.next() if self.again else None
        self.live.append(live := Live(self, entries))
        return live

    def _oldest(self) -> list[Waiting]:
        """Those of one exit layer, since a batch has one: that which most passes wait for."""
        waiting = [entry for entry in self.waiting if not entry.future.done()]
        room = self.tokens - sum(live.tokens for live in self.live)
        taken: list[Waiting] = []
        if waiting:
            exit = _next_exit(waiting)
            for entry in waiting:
                if entry.request.exit == exit:
                    if len(taken) == self.rows or ((taken or self.live) and _tokens([*taken, entry]) > room):
                        break
                    taken.append(entry)
        gone = set(map(id, taken))
        self.waiting = deque(entry for entry in waiting if id(entry) not in gone)
        return taken


def _tokens(entries: list[Waiting]) -> int:
    return len(entries) * max(entry.width for entry in entries)


def _next_exit(waiting: list[Waiting]) -> int | None:
    """Few of a kind gather, but not for ever."""
    if waiting[0].passed_over >= MOST_PASSED_OVER:
        return waiting[0].request.exit
    counts = Counter(entry.request.exit for entry in waiting)
    exit = max(counts, key=lambda exit: counts[exit])
    waiting[0].passed_over += waiting[0].request.exit != exit
    return exit
