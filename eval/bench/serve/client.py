"""A client under load: one connection, opened again when it was lost, and the next question to ask."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

from eval.bench.serve.http import Connection, Reply, request
from eval.bench.serve.traffic import Asked


class Client:
    """`numbers` are shared by all clients: no two ask the same question as long as there are others."""

    def __init__(
        self,
        url: str,
        questions: Sequence[Asked],
        numbers: Iterator[int],
        dice: random.Random,
        *,
        model: str = "demo",
        timeout: float = 60.0,
        source: str | None = None,
    ) -> None:
        self.url = url
        self.model = model
        self.dice = dice
        self.received = 0  # bytes
        self.retry_after: float | None = None
        self.statuses: list[int] = []  # of the request under way
        self._questions = questions
        self._numbers = numbers
        self._timeout = timeout
        self._source = source
        self._connection: Connection | None = None

    def next(self) -> tuple[str, Asked]:
        """A new id and a question."""
        number = next(self._numbers)
        return f"q{number}", self._questions[number % len(self._questions)]

    async def ask(self, path: str, body: object = None, **options: Any) -> Reply:
        """Raises `Lost` and `TimeoutError`, after which the connection is another one."""
        connection = await self._usable()
        try:
            async with asyncio.timeout(self._timeout):
                reply = await connection.ask(request(self.url, path, body, **options))
        except (TimeoutError, asyncio.CancelledError):
            connection.abort()
            raise
        self.received += reply.size
        self.statuses.append(reply.status)
        self.retry_after = reply.retry_after
        return reply

    async def leave(self, part: bytes, after: float) -> None:
        """Sends a request or a part of one, and closes the connection so many seconds later."""
        connection = await self._usable()
        connection.send(part)
        await asyncio.sleep(after)
        connection.abort()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    async def _usable(self) -> Connection:
        if self._connection is None or not self._connection.usable:
            self.close()
            async with asyncio.timeout(self._timeout):
                self._connection = await Connection.open(self.url, self._source)
        return self._connection
