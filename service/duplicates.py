"""The same thing asked several times: computed once while it is in flight, and kept afterwards if that is wanted."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
How = Literal["computed", "joined", "cached"]


@dataclass
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    passengers: int = 0


class Once(Generic[T]):
    """Results by what was asked. The latest `keep` of them are kept, failures never."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, How]:
        """The result, and how it was come by. The work is cancelled when the last who waits for it has gone."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key], "cached"
        how: How = "joined"
        flight = self._flights.get(key)
        if flight is None:
            how = "computed"
            flight = self._flights[key] = _Flight(asyncio.create_task(compute()))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task), how
        finally:
            flight.passengers -= 1
            if not flight.passengers:
                self._forget(key, flight.task)
                flight.task.cancel()

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if self._keep and not task.cancelled() and task.exception() is None:
            self._kept[key] = task.result()
            if len(self._kept) > self._keep:
                self._kept.popitem(last=False)

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        """Whoever comes now starts anew: this one has ended, or is about to."""
        if key in self._flights and self._flights[key].task is task:
            del self._flights[key]
