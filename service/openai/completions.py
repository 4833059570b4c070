"""The bodies of /v1/completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from service.openai.envelope import Envelope, TokenUsage
from service.openai.requests import CompletionRequest
from service.openai.saying import Evidence, Said
from service.schemas.base import Number, Response

if TYPE_CHECKING:
    from correction.completion import Token


class Logprobs(Response):
    """A choice's tokens; together they are its text, in which text_offset says where each begins.

    The one that ended the sequence is among them, with no text. top_logprobs have the token's own among the likeliest;
    null if none were asked for, and at a prompt's first token, which nothing predicts.
    """

    tokens: list[str]
    token_logprobs: list[Number | None]
    top_logprobs: list[dict[str, Number] | None] | None
    text_offset: list[int]


class CompletionChoice(Response):
    """A completion, or in a stream what has come of it."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None


class Completion(Response):
    """hopfix: the answer object of a prompt that was corrected, else why it was not; a list for a list of prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[CompletionChoice]
    usage: TokenUsage
    hopfix: Evidence | list[Evidence]


class CompletionChunk(Response):
    """A part of a stream. The last of each choice has a finish_reason, and hopfix of its prompt."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[CompletionChoice]
    usage: TokenUsage | None = None
    hopfix: Evidence | None = None


class CompletionForm:
    """Completions of one request."""

    def __init__(self, asked: CompletionRequest, shared: Envelope) -> None:
        self._asked = asked
        self._shared = shared
        self._lengths: Counter[int] = Counter()  # of the text so far, by a job's first choice

    def body(self, said: list[Said]) -> Completion:
        choices = [choice for each in said for choice in self._choices(each)]
        evidence = {each.job.prompt: each.evidence for each in said}
        return Completion(
            **self._shared,
            object="text_completion",
            choices=choices,
            usage=TokenUsage.of(said),
            hopfix=list(evidence.values()) if self._asked.several else evidence[0],
        )

    def chunks(self, said: Said) -> Iterator[CompletionChunk]:
        for choice in self._choices(said):
            chunk = self._chunk([choice])
            if said.evidence is not None:
                chunk.hopfix = said.evidence
            yield chunk

    def usage(self, usage: TokenUsage) -> CompletionChunk:
        chunk = self._chunk([])
        chunk.usage = usage
        return chunk

    def _chunk(self, choices: list[CompletionChoice]) -> CompletionChunk:
        chunk = CompletionChunk(**self._shared, object="text_completion", choices=choices)
        if self._asked.include_usage:
            chunk.usage = None  # set, so that it is said
        return chunk

    def _choices(self, said: Said) -> list[CompletionChoice]:
        piece, first = said.piece, said.job.choices[0]
        logprobs = None
        if self._asked.logprobs is not None:
            logprobs = _logprobs(piece.tokens, self._lengths[first], self._asked.logprobs)
        self._lengths[first] += len(piece.text)
        return [
            CompletionChoice(index=index, text=piece.text, logprobs=logprobs, finish_reason=piece.finish_reason)
            for index in said.job.choices
        ]


def _logprobs(tokens: Sequence[Token], offset: int, most: int) -> Logprobs:
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return Logprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[_top(token) for token in tokens] if most else None,
        text_offset=offsets,
    )


def _top(token: Token) -> dict[str, float] | None:
    """The likeliest texts and the token's own. Of tokens with the same text the likeliest counts."""
    if token.logprob is None:
        return None
    top: dict[str, float] = {}
    for text, logprob in (*token.top, (token.text, token.logprob)):
        top.setdefault(text, logprob)
    return top
