"""What a client raises: one class for each thing that can be done about it."""

from __future__ import annotations

import math
from typing import Any

import httpx

from correction.errors import HopfixError


class ClientError(HopfixError):
    """Base of all. `status` is None where no answer came; `code` is for programs; the log has `request_id`.

    retry_after: seconds, where the service gave them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class Refused(ClientError):
    """The request is wrong (400, 413, 422 and other 4xx): sending it again does not help."""


class NotAuthorised(ClientError):
    """No key, or the wrong one (401)."""


class Forbidden(ClientError):
    """The key does not allow it (403)."""


class NotFound(ClientError):
    """No such model or path (404)."""


class Busy(ClientError):
    """Too many questions at once, or too many a second (429)."""

    retryable = True


class Unavailable(ClientError):
    """Not ready, or stopping (503)."""

    retryable = True


class OutOfTime(ClientError):
    """No answer within the service's deadline (504) or the client's time-out."""

    retryable = True


class ServerFailed(ClientError):
    """Something went wrong in the service (500 and other 5xx), or its answer is none."""


class Unreachable(ClientError):
    """No connection, or it broke."""

    retryable = True


_BY_STATUS: dict[int, type[ClientError]] = {
    401: NotAuthorised,
    403: Forbidden,
    404: NotFound,
    429: Busy,
    503: Unavailable,
    504: OutOfTime,
}


def from_response(response: httpx.Response) -> ClientError:
    """The error that a response says; its body must have been read."""
    try:
        detail: dict[str, Any] = dict(response.json()["error"])
    except (ValueError, KeyError, TypeError):  # a proxy's page, say
        detail = {}
    kind = _BY_STATUS.get(response.status_code, ServerFailed if response.status_code >= 500 else Refused)
    return kind(
        str(detail.get("message") or f"HTTP status {response.status_code}"),
        status=response.status_code,
        code=detail.get("code"),
        param=detail.get("param"),
        request_id=response.headers.get("X-Request-ID"),
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def from_transport(error: httpx.TransportError) -> ClientError:
    """The error that stands for one of the connection; it names the service, which a setting may have got wrong."""
    url = error.request.url
    where = f"{url.scheme}://{url.netloc.decode()}"  # without the user and password that a URL may have
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return OutOfTime(f"no answer in time from {where} ({why})")
    return Unreachable(f"no connection to {where} ({why})")


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
