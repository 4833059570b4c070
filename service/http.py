"""HTTP/1.1 as uvicorn speaks it through httptools, and what it leaves out: a limit for heads, a life after upgrades."""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 1 << 16  # bytes of a request's line and headers that may come without being complete


class Protocol(HttpToolsProtocol):
    """A connection. An offer of another protocol is not taken: its request is answered, and so is what comes next."""

    _head: int | None = None  # how much of a head has come; None between heads
    _owed = 0  # bytes of a body that come after an offer, at which the parser stops

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(self._take_owed(data))
        except httptools.HttpParserError:
            self.send_400_response("what was received is not HTTP/1.1")

    def _take_owed(self, data: bytes) -> bytes:
        if not self._owed:
            return data
        body, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(body)
        self.on_body(body)
        self.on_message_complete()
        return rest

    def _parse(self, data: bytes) -> bytes:
        """What comes behind an offer."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self.parser = httptools.HttpRequestParser(self)
            return data[offer.args[0] :]
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD:
                self.send_400_response(f"the request's head is longer than {HEAD} bytes")
        return b""

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError("a request has one host")  # RFC 9112, 3.2
        if self.parser.should_upgrade():
            headers = dict(self.headers)
            if b"transfer-encoding" in headers:
                raise ValueError("a body of unknown length after an offer")
            self._owed = int(headers.get(b"content-length", 0))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._owed:
            super().on_message_complete()
