"""uvicorn, stopped gracefully: what has a place is answered first, and what comes meanwhile is told to go elsewhere.

And with an end to connections whose client never finishes what it has to say.
"""

from __future__ import annotations

import math
import socket
import time
from types import FrameType
from typing import Any

import uvicorn

from service.state import State

QUEUE = 2048  # connections that wait to be taken
NOTICE = 1.0  # seconds in which clients with an open connection hear that they are to go elsewhere
HEAD = 10.0  # seconds that a request's head may take


class Server(uvicorn.Server):
    """On the first signal the service drains; on the second, or after the deadline, it closes as it is.

    uvicorn itself would close its port at once: a new question would find nobody, instead of an answer that says why.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state
        self._told = math.inf
        self._silent: dict[Any, tuple[Any, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn has made the kernel's queue as short as `backlog`, how many connections are taken at a time."""
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(QUEUE)

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
        if counter % 10 == 0:  # each second
            self._close_silent(time.monotonic())
            self._state.metrics.refresh()  # another process may be asked for the sum of all numbers
        return await super().on_tick(counter)

    def _close_silent(self, now: float) -> None:
        """Ends connections on which half a head has come and no more: uvicorn's own timer is for idle ones alone."""
        silent = {}
        connections: set[Any] = self.server_state.connections  # of HTTP alone
        for connection in connections:
            cycle = connection.cycle  # the latest request
            if cycle is None or cycle.response_complete:
                known, since = self._silent.get(connection, (cycle, now))
                silent[connection] = (cycle, since if known is cycle else now)
        for connection, (_, since) in silent.items():
            if now - since > HEAD:
                connection.transport.close()
        self._silent = silent
