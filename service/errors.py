"""Errors as clients see them: OpenAI's body, and one table from exception to HTTP status. Knows no web framework."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from correction.errors import (
    EngineUnavailable,
    HopfixError,
    InvalidInput,
    PatchNotApplied,
    PromptTooLong,
)

_TAG = re.compile(r"int|str|constrained-\w+|list\[.*")  # where pydantic names the member of a union that it tried


class InvalidFields(HopfixError):
    """A request whose fields have the wrong names or types."""

    @classmethod
    def of(cls, error: ValidationError, known: tuple[str, ...]) -> InvalidFields:
        """The first field that is wrong, and what to do about it; `known` are the fields there are."""
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if not _TAG.fullmatch(str(part))) or None
        name = param or "the request"
        fields = f"the fields are {', '.join(known)}" if len(first["loc"]) < 2 else ""  # those of a part are others
        match first["type"]:
            case "extra_forbidden":
                return cls(f"unknown field {name!r}", hint=fields, param=param)
            case "missing":
                return cls(f"{name} is missing", hint=f"add the field {name!r}", param=param)
            case "model_type" | "model_attributes_type" | "dict_type":
                return cls(f"{name} is not an object", hint=fields, param=param)
            case "value_error":
                return cls(f"{name}: {first['msg'].removeprefix('Value error, ')}", param=param)
            case "string_unicode":
                return cls(f"{name} holds half a surrogate pair", hint="send valid Unicode", param=param)
            case "invalid_key":
                return cls("a field's name is not valid Unicode", hint=fields)
            case _:
                return cls(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}", param=param)


class NotJSON(HopfixError):
    """A body that is not JSON."""


class Unauthorised(HopfixError):
    """No key, or the wrong one."""


class Forbidden(HopfixError):
    """A key that may not do this, or a web page that may not call."""


class NotFound(HopfixError):
    """No such model."""


class TooLarge(HopfixError):
    """A body or list beyond the service's limits."""


class Overloaded(HopfixError):
    """More questions in flight than the service takes. `retry_after`: seconds until trying again may help."""

    retryable = True

    def __init__(self, message: str, *, hint: str = "", param: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, hint=hint, param=param)
        self.retry_after = max(1, retry_after)


class RateLimited(Overloaded):
    """More questions a second than this client may ask."""


class NotReady(HopfixError):
    """The model is loading, or its profile's questions were not answered as expected."""

    retryable = True


class Draining(NotReady):
    """The service has been told to stop, and takes nothing new."""


class BodyTooSlow(HopfixError):
    """A client that takes too long to send its request."""


class ProfileRefused(HopfixError):
    """A profile that cannot take the place of the one in use."""


class DeadlineExceeded(HopfixError):
    """The answer took longer than the service allows."""

    retryable = True


class ClientGone(HopfixError):
    """The client went away before its answer; nobody reads the response."""


@dataclass(frozen=True)
class Rule:
    """The status of an error, and OpenAI's type and code for it."""

    status: int
    type: str
    code: str


_BAD = "invalid_request_error"
# The first class that fits decides: subclasses stand before their bases.
_RULES: tuple[tuple[type[HopfixError], Rule], ...] = (
    (PromptTooLong, Rule(400, _BAD, "context_length_exceeded")),
    (InvalidInput, Rule(400, _BAD, "invalid_input")),
    (NotJSON, Rule(400, _BAD, "not_json")),
    (InvalidFields, Rule(422, _BAD, "invalid_fields")),
    (Unauthorised, Rule(401, "authentication_error", "invalid_api_key")),
    (Forbidden, Rule(403, "permission_error", "forbidden")),
    (NotFound, Rule(404, _BAD, "model_not_found")),
    (TooLarge, Rule(413, _BAD, "too_large")),
    (RateLimited, Rule(429, "rate_limit_error", "rate_limited")),
    (Overloaded, Rule(429, "rate_limit_error", "overloaded")),
    (ClientGone, Rule(499, _BAD, "client_gone")),
    (BodyTooSlow, Rule(408, _BAD, "too_slow")),
    (ProfileRefused, Rule(409, _BAD, "profile_refused")),
    (Draining, Rule(503, "server_error", "draining")),
    (NotReady, Rule(503, "server_error", "not_ready")),
    (EngineUnavailable, Rule(503, "server_error", "engine_unavailable")),
    (DeadlineExceeded, Rule(504, "server_error", "deadline_exceeded")),
    (PatchNotApplied, Rule(500, "server_error", "patch_not_applied")),
    (HopfixError, Rule(500, "server_error", "failed")),
)
RETRY_AFTER_SECONDS = 1


def rule_for(error: HopfixError) -> Rule:
    """Status, type and code of an error."""
    return next(rule for known, rule in _RULES if isinstance(error, known))


def codes() -> dict[int, list[str]]:
    """The codes of each status that a client can see."""
    found: dict[int, list[str]] = {}
    for kind, rule in _RULES:
        if kind is not ClientGone:
            found.setdefault(rule.status, []).append(rule.code)
    return found


def error_body(error: HopfixError) -> dict[str, Any]:
    """`{"error": {...}}` as OpenAI's clients read it."""
    rule = rule_for(error)
    return body(str(error), rule.type, rule.code, error.param)


def error_headers(error: HopfixError) -> dict[str, str]:
    """What the status asks for beside the body."""
    headers = {}
    if error.retryable:
        headers["Retry-After"] = str(error.retry_after if isinstance(error, Overloaded) else RETRY_AFTER_SECONDS)
    if isinstance(error, BodyTooSlow | Draining):
        headers["Connection"] = "close"
    if isinstance(error, Unauthorised):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def unexpected(request_id: str) -> dict[str, Any]:
    """The body for what nobody foresaw: the log has the rest, under the same id."""
    return body(f"internal error; the server's log has it as request {request_id}", "server_error", "internal", None)


def body(message: str, type: str, code: str, param: str | None) -> dict[str, Any]:
    """The four fields that every error has. A client's own words may come back in them, so they are made encodable."""
    fields = {"message": message, "type": type, "param": param, "code": code}
    return {"error": {name: text and text.encode(errors="replace").decode() for name, text in fields.items()}}
