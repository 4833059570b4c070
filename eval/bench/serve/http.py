"""A lean HTTP/1.1 client on a raw connection: on the cores that are measured a request must cost next to nothing.

It knows what the measured servers send: bodies with a length or in chunks, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

IDLE_SECONDS = 3.0  # servers close a connection that is idle for 5: one is not used again that late
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.I)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.I)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.I)


class Lost(Exception):
    """The connection ended without a whole answer."""


@dataclass(frozen=True)
class Reply:
    """A whole answer; a body in chunks is joined. `size` is what came over the connection, in bytes."""

    status: int
    body: bytes
    size: int
    closes: bool = False
    retry_after: float | None = None

    @classmethod
    def read(cls, received: bytearray) -> Self | None:
        """From all that was received so far; None while something is missing."""
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head, start = received[: end + 2], end + 4
        if length := _LENGTH.search(head):
            if len(received) < start + int(length[1]):
                return None
            body = bytes(received[start : start + int(length[1])])
        elif _CHUNKED.search(head):
            if not received.endswith(b"0\r\n\r\n") or (joined := _join(received, start)) is None:
                return None
            body = joined
        else:
            body = b""
        retry = _RETRY_AFTER.search(head)
        return cls(int(head[9:12]), body, len(received), bool(_CLOSES.search(head)), float(retry[1]) if retry else None)

    def json(self) -> Any:
        return json.loads(self.body)


def _join(received: bytearray, at: int) -> bytes | None:
    """The chunks from `at` on; None if the last one is not there."""
    parts: list[bytearray] = []
    while (line := received.find(b"\r\n", at)) >= 0:
        size = int(received[at:line], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(received[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return None


def request(url: str, path: str, body: object = None, *, method: str = "POST", **headers: str) -> bytes:
    """A request as it goes over the connection; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


class Connection(asyncio.Protocol):
    """A connection that is kept: one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._reply: asyncio.Future[Reply] | None = None
        self._closed = False
        self._used = 0.0
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, url: str, source: str | None = None) -> Self:
        """`source` is the address to come from: one of this machine's."""
        at, local = urlsplit(url), (source, 0) if source else None
        assert at.hostname
        assert at.port
        try:
            _, made = await asyncio.get_running_loop().create_connection(cls, at.hostname, at.port, local_addr=local)
        except OSError as error:
            raise Lost(f"no connection ({error})") from error
        return made

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._closed and asyncio.get_running_loop().time() - self._used < IDLE_SECONDS

    def send(self, request: bytes) -> None:
        """Sends without waiting for an answer."""
        self._transport.write(request)

    async def ask(self, request: bytes) -> Reply:
        """Raises `Lost`; a caller that gives up must `abort`."""
        if self._closed:
            raise Lost("closed before the request")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        reply = await self._reply
        self._used = asyncio.get_running_loop().time()
        if reply.closes:
            self.abort()
        return reply

    def abort(self) -> None:
        """Closes at once, whatever is under way."""
        self._closed = True
        self._transport.abort()

    # -- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._used = transport, asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (reply := Reply.read(self._received)) is not None:
            self._received.clear()
            if self._reply is not None and not self._reply.done():
                self._reply.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Lost(f"closed before the whole answer ({error or 'in peace'})"))
