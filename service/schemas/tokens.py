"""A text as tokens, so that the positions of a Patchscope can be found."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from service.schemas.base import Request, Response, Text


class ChatMessage(Request):
    """A message of a chat."""

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: Text


def _given(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"type": ["string", "array"]}}}


class TokenizeRequest(Request):
    """One of `text`, as it is; `question`, a question or hop in the form that hopfix asks it in; `messages`, a chat."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_given("text"), _given("question"), _given("messages")]})

    text: Text | None = None
    question: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(given is not None for given in (self.text, self.question, self.messages)) != 1:
            raise ValueError("give one of text, question and messages")
        return self


class TokenObject(Response):
    """A token: `text[start:end]` in characters of the whole text; one that stands for no text has start = end."""

    id: int
    text: str
    start: int
    end: int


class Tokens(Response):
    """The text as the model reads it and its tokens. context: the most that a prompt and its answer may have."""

    text: str
    tokens: list[TokenObject]
    count: int
    context: int
