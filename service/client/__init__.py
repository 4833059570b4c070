"""hopfix over HTTP, from Python: `Client` and `AsyncClient`, with the service's own schemas as results.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as hopfix:
        print(hopfix.answer("Who runs the company that makes the Walkman?").answer)

Knows neither torch nor a web framework.
"""

from service.client.asynchronous import AsyncClient
from service.client.blocking import Client
from service.client.calls import Retries
from service.client.errors import (
    Busy,
    ClientError,
    Forbidden,
    NotAuthorised,
    NotFound,
    OutOfTime,
    Refused,
    ServerFailed,
    Unavailable,
    Unreachable,
)
from service.schemas import (
    AnswerObject,
    AnswerRequest,
    ChatMessage,
    FailedAnswer,
    FailedPatchscope,
    Graft,
    OutcomeObject,
    PatchscopeRequest,
    Point,
    ProfileObject,
    TokenizeRequest,
    Tokens,
)

__all__ = [
    "AnswerObject",
    "AnswerRequest",
    "AsyncClient",
    "Busy",
    "ChatMessage",
    "Client",
    "ClientError",
    "FailedAnswer",
    "FailedPatchscope",
    "Forbidden",
    "Graft",
    "NotAuthorised",
    "NotFound",
    "OutOfTime",
    "OutcomeObject",
    "PatchscopeRequest",
    "Point",
    "ProfileObject",
    "Refused",
    "Retries",
    "ServerFailed",
    "TokenizeRequest",
    "Tokens",
    "Unavailable",
    "Unreachable",
]
