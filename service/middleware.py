"""Around every request: its id, headers that every response has, its time and status in the metrics and in the log,
and a plain 500 for what nobody foresaw.
"""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs
from service.errors import unexpected
from service.metrics import Metrics

log = logging.getLogger(__name__)
HEADER = "X-Request-ID"
# What a client may have written into a log: its own request id, and the address that it gives a trusted proxy.
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ADDRESS = re.compile(r"[A-Za-z0-9.:%_-]{1,64}")


class Observe:
    """Pure ASGI. The id, the client's own where it is usable, is in the response's header, in the log, and in the
    scope's state for the routes.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["client"] and not _ADDRESS.fullmatch(scope["client"][0]):
            scope["client"] = ("unknown", 0)
        request_id = _id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        logged = logs.request_id.set(request_id)
        started = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")  # answers are the client's alone
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        except Exception:
            log.exception("request %s failed", request_id)
            if status == 0:
                await JSONResponse(unexpected(request_id), 500)(scope, receive, send_marked)
        finally:
            # The route's pattern, never the path itself: a label for each path that was tried would fill the memory.
            route = getattr(scope.get("route"), "path", "unmatched")
            status, seconds = status or 499, time.perf_counter() - started
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            record = {"route": route, "status": status, "seconds": round(seconds, 6)}
            client = scope["state"].get("client")
            # A flood that is refused is counted, and does not fill the disk.
            level = logging.DEBUG if status == 429 else logging.INFO
            log.log(
                level, "%s %s %d", scope["method"], route, status, extra=record | ({"client": client} if client else {})
            )
            logs.request_id.reset(logged)


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex
