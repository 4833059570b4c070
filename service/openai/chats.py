"""The bodies of /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from service.openai.envelope import Envelope, TokenUsage
from service.openai.requests import ChatRequest
from service.openai.saying import Evidence, Said
from service.schemas.base import Number, Response

if TYPE_CHECKING:
    from correction.completion import Token


class ChatAlternative(Response):
    """A token that could have come. bytes: its text in UTF-8; null for one that has no text of its own."""

    token: str
    logprob: Number
    bytes: list[int] | None


class ChatToken(ChatAlternative):
    """A token that came, and the likeliest ones at its place, best first."""

    top_logprobs: list[ChatAlternative]


class ChatLogprobs(Response):
    """The answer's tokens, the one that ended the sequence among them."""

    content: list[ChatToken]
    refusal: None


class AssistantMessage(Response):
    """The answer."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Response):
    """An answer and why it ended."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(Response):
    """hopfix: the answer object if the last message was corrected, else why it was not."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChatChoice]
    usage: TokenUsage
    hopfix: Evidence


class Delta(Response):
    """What is new: the role first, then the text."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Response):
    """What has come of a choice."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class ChatChunk(Response):
    """A part of a stream. The last of each choice has a finish_reason, and hopfix."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChunkChoice]
    usage: TokenUsage | None = None
    hopfix: Evidence | None = None


class ChatForm:
    """Answers to one chat."""

    def __init__(self, asked: ChatRequest, shared: Envelope) -> None:
        self._asked = asked
        self._shared = shared
        self._begun: set[int] = set()  # choices

    def body(self, said: list[Said]) -> ChatCompletion:
        choices = []
        for each in said:
            assert each.piece.finish_reason is not None
            message = AssistantMessage(role="assistant", content=each.piece.text, refusal=None)
            logprobs, reason = self._logprobs(each), each.piece.finish_reason
            choices += [
                ChatChoice(index=index, message=message, logprobs=logprobs, finish_reason=reason)
                for index in each.job.choices
            ]
        assert said[0].evidence is not None
        return ChatCompletion(
            **self._shared,
            object="chat.completion",
            choices=choices,
            usage=TokenUsage.of(said),
            hopfix=said[0].evidence,
        )

    def chunks(self, said: Said) -> Iterator[ChatChunk]:
        """The end is a chunk of its own, with no text."""
        piece = said.piece
        for index in said.job.choices:
            if index not in self._begun:
                self._begun.add(index)
                yield self._chunk(index, Delta(role="assistant", content=""))
            if piece.text or piece.tokens:
                yield self._chunk(index, Delta(content=piece.text), logprobs=self._logprobs(said))
            if piece.finish_reason:
                last = self._chunk(index, Delta(), reason=piece.finish_reason)
                last.hopfix = said.evidence
                yield last

    def usage(self, usage: TokenUsage) -> ChatChunk:
        chunk = ChatChunk(**self._shared, object="chat.completion.chunk", choices=[])
        chunk.usage = usage
        return chunk

    def _chunk(
        self,
        index: int,
        delta: Delta,
        logprobs: ChatLogprobs | None = None,
        reason: Literal["stop", "length"] | None = None,
    ) -> ChatChunk:
        choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)
        chunk = ChatChunk(**self._shared, object="chat.completion.chunk", choices=[choice])
        if self._asked.include_usage:
            chunk.usage = None  # set, so that it is said
        return chunk

    def _logprobs(self, said: Said) -> ChatLogprobs | None:
        if not self._asked.logprobs:
            return None
        return ChatLogprobs(content=[_token(token) for token in said.piece.tokens], refusal=None)


def _token(token: Token) -> ChatToken:
    assert token.logprob is not None  # a chat has no echo
    top = [ChatAlternative(token=text, logprob=logprob, bytes=_bytes(text)) for text, logprob in token.top]
    return ChatToken(token=token.text, logprob=token.logprob, bytes=_bytes(token.text), top_logprobs=top)


def _bytes(text: str) -> list[int] | None:
    return list(text.encode()) or None
