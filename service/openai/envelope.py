"""What every body of OpenAI's has around its choices."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypedDict

from pydantic import BaseModel

from service.openai.saying import Said
from service.schemas.base import Response

if TYPE_CHECKING:
    from correction.corrector import Corrector


class TokenUsage(Response):
    """Of all prompts, each counted once, and of all that was generated for them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, said: Iterable[Said]) -> TokenUsage:
        """Over the last that each job has said."""
        prompts, completion = {}, 0
        for last in said:
            prompts[last.job.prompt] = last.prompt_tokens
            completion += last.completion_tokens
        prompt = sum(prompts.values())
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class Envelope(TypedDict):
    """The fields that all bodies of one request share."""

    id: str
    created: int
    model: str
    system_fingerprint: str | None


def envelope(prefix: str, request_id: str, model: str, corrector: Corrector) -> Envelope:
    """The id is the request's, by which the log has it; the fingerprint is the profile's name."""
    profile = corrector.profile.name if corrector.profile else None
    return {
        "id": f"{prefix}-{request_id}",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": profile,
    }


class Form(Protocol):
    """How what was said becomes bodies: one, or a stream's chunks. Fields that are not set are left out."""

    def body(self, said: list[Said]) -> BaseModel:
        """All of it, a `Said` for each job, in the jobs' order."""
        ...

    def chunks(self, said: Said) -> Iterator[BaseModel]:
        """What a stream says next."""
        ...

    def usage(self, usage: TokenUsage) -> BaseModel:
        """What a stream that was asked for it says last."""
        ...
