"""What both clients do: each method as data (a request, and how to read its answer), and when to try again."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.client.errors import Busy, ClientError, ServerFailed, Unavailable
from service.schemas import (
    AnswerObject,
    AnswerRequest,
    FailedAnswer,
    FailedPatchscope,
    OutcomeObject,
    PatchscopeRequest,
    ProfileObject,
    TokenizeRequest,
    Tokens,
)

T = TypeVar("T")
JSON, LINES = "application/json", "application/x-ndjson"
Question = str | AnswerRequest
Answered = AnswerObject | FailedAnswer
Looked = OutcomeObject | FailedPatchscope


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what its answer, or each line of it, is read as."""

    path: str
    reads: TypeAdapter[T]
    body: str | None = None
    method: str = "POST"
    accept: str = JSON

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """For either of httpx's clients."""
        headers = {"Accept": self.accept} | ({} if self.body is None else {"Content-Type": JSON})
        return client.build_request(self.method, self.path, content=self.body, headers=headers)

    def read(self, content: bytes) -> T:
        """The answer; raises `ServerFailed` for what is none."""
        try:
            return self.reads.validate_json(content)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise ServerFailed(
                f"this is no answer of hopfix, or one of another version ({what}): "
                "look at the address, and at the versions of both sides"
            ) from None


def answer(question: Question) -> Call[AnswerObject]:
    return Call("/v1/answer", TypeAdapter(AnswerObject), _json(_asked(question)))


def answers(questions: Iterable[Question]) -> Call[list[Answered]]:
    return Call("/v1/answer", TypeAdapter(list[Answered]), _listed(map(_asked, questions)))


def stream(questions: Iterable[Question]) -> Call[Answered]:
    return Call("/v1/answer", TypeAdapter[Answered](Answered), _listed(map(_asked, questions)), accept=LINES)


def patchscope(scope: PatchscopeRequest) -> Call[OutcomeObject]:
    return Call("/v1/patchscope", TypeAdapter(OutcomeObject), _json(scope))


def patchscopes(scopes: Iterable[PatchscopeRequest]) -> Call[list[Looked]]:
    return Call("/v1/patchscope", TypeAdapter(list[Looked]), _listed(scopes))


def tokenize(text: str | TokenizeRequest) -> Call[Tokens]:
    asked = TokenizeRequest(text=text) if isinstance(text, str) else text
    return Call("/v1/tokenize", TypeAdapter(Tokens), _json(asked))


PROFILE = Call("/v1/profile", TypeAdapter(ProfileObject), method="GET")
RELOAD = Call("/v1/profile/reload", TypeAdapter(ProfileObject))
MODELS = Call("/v1/models", TypeAdapter(_Models), method="GET")
READY = Call("/ready", TypeAdapter(dict[str, Any]), method="GET")


@dataclass(frozen=True)
class Retries:
    """Up to `most` more tries where the service says that it is busy or not ready (429, 503).

    They come after as long as it asks for, or else after 1, 2, 4, ... seconds; if that is more than `longest` seconds,
    there are none.
    """

    most: int = 3
    longest: float = 30.0

    def wait(self, error: ClientError, tried: int) -> float:
        """Seconds until the next try after `tried` ones; raises the error if there is none."""
        seconds = 2.0 ** (tried - 1) if error.retry_after is None else error.retry_after
        if not isinstance(error, Busy | Unavailable) or tried > self.most or seconds > self.longest:
            raise error
        return seconds * random.uniform(1.0, 1.2)  # those that were turned away together do not come back together


class LineBuffer:
    """Bytes as they come, to whole lines. Only a line feed ends one: JSON may hold every other line separator."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """The lines that the chunk has completed."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line.strip()]


@cache
def certificates() -> ssl.SSLContext:
    """Whom to trust, the same for every client: reading them takes longer than many an answer."""
    return httpx.create_ssl_context()


def headers(key: str | None) -> dict[bytes, bytes]:
    """Of every request."""
    return {} if key is None else {b"Authorization": f"Bearer {key}".encode()}


def _asked(question: Question) -> AnswerRequest:
    return AnswerRequest(question=question) if isinstance(question, str) else question


def _json(asked: BaseModel) -> str:
    return asked.model_dump_json(exclude_defaults=True)


def _listed(asked: Iterable[BaseModel]) -> str:
    return f"[{','.join(map(_json, asked))}]"
