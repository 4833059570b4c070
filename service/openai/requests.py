"""What OpenAI's clients may send. What would change the meaning of an answer and cannot be had is refused by name;
what changes nothing is left out. Everything that is wrong here is a 400, which is what these clients expect.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from correction.errors import InvalidInput
from service.errors import InvalidFields
from service.schemas import Request, Text

MOST_CHOICES = 128
MOST_LOGPROBS = 20
# OpenAI has 4, harnesses send more.
MOST_STOPS = 16

# Lists are judged up to their first fault: 200,000 of them took seconds to be told.
Token = Annotated[int, Field(ge=0, lt=1 << 31)]
Tokens = Annotated[list[Token], Field(min_length=1, fail_fast=True)]
Long = Annotated[str, Field(min_length=0)]  # a condition, so that pydantic looks for half surrogate pairs
Prompts = Annotated[list[Long | Tokens], Field(min_length=1, fail_fast=True)]
Stop = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=1, lt=1 << 31)]

# For whoever keeps accounts, or hints on how to answer that no answer depends on.
_IGNORED = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention parallel_tool_calls "
    "prediction reasoning_effort verbosity".split()
)
_NOTHING: tuple[object, ...] = (None, False, 0, "", [], {})
# What is not supported, with the values that ask for nothing, beside those that never do.
_REFUSED: dict[str, tuple[object, ...]] = {
    "tools": (),
    "tool_choice": ("none", "auto"),
    "functions": (),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "logit_bias": (),
    "presence_penalty": (),
    "frequency_penalty": (),
    "suffix": (),
}
# Of a message: what answers of ours and of others have beside their text, as they come back in the next request.
_IGNORED_IN_MESSAGES = frozenset(("name", "annotations"))
_REFUSED_IN_MESSAGES: dict[str, tuple[object, ...]] = dict.fromkeys(
    ("tool_calls", "function_call", "audio", "refusal", "tool_call_id"), ()
)


def _pruned(given: Any, ignored: frozenset[str], refused: dict[str, tuple[object, ...]]) -> Any:
    """The fields that have an effect; raises `InvalidInput` for one that asks for what is not supported."""
    if not isinstance(given, dict):
        return given
    for name, neutral in refused.items():
        if name in given and given[name] not in _NOTHING and given[name] not in neutral:
            raise InvalidInput(f"{name} is not supported", hint="leave it out", param=name)
    return {name: value for name, value in given.items() if name not in ignored and name not in refused}


class StreamOptions(Request):
    """include_usage: a last chunk says how many tokens there were."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Asked(Request):
    """What both endpoints have in common."""

    usual_tokens: ClassVar[int | None] = None

    model: Text
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    max_tokens: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = None
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """From JSON's value; raises `InvalidInput`."""
        try:
            return super().parse(value)
        except InvalidFields as error:
            raise InvalidInput(error.message, hint=error.hint, param=error.param) from None

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any) -> Any:
        return _pruned(given, _IGNORED, _REFUSED)

    @model_validator(mode="after")
    def _options_are_a_streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise InvalidInput("stream_options are for streams", hint='send "stream": true', param="stream_options")
        return self

    @property
    def choices(self) -> int:
        """How many answers each prompt has."""
        return self.n or 1

    @property
    def greedy(self) -> bool:
        """Whether all answers to a prompt are the same."""
        return not self.temperature

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def most_tokens(self) -> int | None:
        """How long an answer may be, if the client says so."""
        return self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """How many come with the log-probability of each token; None for no log-probabilities."""
        raise NotImplementedError

    @property
    def echoes(self) -> bool:
        """Whether the prompt is a part of the answer."""
        return False


class CompletionRequest(Asked):
    """A prompt to be completed, or several: texts or token ids. Without max_tokens 16 tokens are generated."""

    usual_tokens = 16

    prompt: Annotated[Long | Tokens | Prompts, Field(union_mode="left_to_right")]
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.best_of not in (None, self.choices):
            raise InvalidInput("best_of is not supported beyond n", hint="leave it out", param="best_of")
        if self.max_tokens == 0 and not self.echo:
            raise InvalidInput(
                "with max_tokens 0 nothing is said", hint='give 1 or more, or "echo": true', param="max_tokens"
            )
        return self

    @property
    def alternatives(self) -> int | None:
        return self.logprobs

    @property
    def echoes(self) -> bool:
        return bool(self.echo)

    @property
    def several(self) -> bool:
        """Whether there is a list of prompts rather than one."""
        return isinstance(self.prompt, list) and not isinstance(self.prompt[0], int)

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, one or more."""
        return self.prompt if self.several else [self.prompt]  # type: ignore[return-value,list-item]


class TextPart(Request):
    """A part of a message."""

    type: Literal["text"]
    text: Long


class Message(Request):
    """A message of a chat; developer is another word for system."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Long | Annotated[list[TextPart], Field(min_length=1, fail_fast=True)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any) -> Any:
        return _pruned(given, _IGNORED_IN_MESSAGES, _REFUSED_IN_MESSAGES)

    @property
    def text(self) -> str:
        """What it says."""
        content = self.content or ""
        return content if isinstance(content, str) else " ".join(part.text for part in content)


class ChatRequest(Asked):
    """A chat to be continued. Without max_completion_tokens the answer may be as long as fits."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _alternatives_have_a_token(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidInput("top_logprobs come with logprobs", hint='send "logprobs": true', param="top_logprobs")
        return self

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def question(self) -> str | None:
        """What the user asks last; None if another has the last word."""
        last = self.messages[-1]
        return last.text if last.role == "user" else None

    @property
    def chat(self) -> list[dict[str, str]]:
        """The messages as a chat template takes them."""
        return [
            {"role": "system" if message.role == "developer" else message.role, "content": message.text}
            for message in self.messages
        ]
