"""The native API's requests and answers, as the design's section 7 names their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correction.questions import Question
from service.errors import InvalidFields

if TYPE_CHECKING:
    from correction.answers import Answer

# Named here again because the corrector's own list comes with torch; a test compares the two.
Strategy = Literal[
    "direct", "two_step", "step_by_step", "patched", "hard_token", "mid_layer", "back_patched", "deployed"
]
MAX_TEXT = 8192  # characters: no two-hop question is longer, and reading it must not hold up the others


Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Request(BaseModel):
    """A request whose every field must be known and of its type."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @classmethod
    def parse(cls, value: object) -> Self:
        """From JSON's value; raises `InvalidFields`."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidFields.of(error, tuple(cls.model_fields)) from None


class AnswerRequest(Request):
    """A question, or its two hops, and how to answer it."""

    question: Text | None = None
    hop1: Text | None = None
    hop2: Text | None = None
    hop3: Text | None = None
    hop4: Text | None = None
    direct: Text | None = None
    id: Text | None = None
    strategy: Strategy = "deployed"
    with_direct: bool = False
    source_layer: int | None = None
    target_layer: int | None = None
    mapping: Text | None = None

    def to_question(self) -> Question:
        """The question; raises `InvalidInput` if there is none, or if its hops are wrong."""
        return Question.from_fields(
            self.question, self.hop1, self.hop2, self.direct, self.id, hop3=self.hop3, hop4=self.hop4
        )


class Response(BaseModel):
    """A part of an answer. A field that is not here is a bug, so it is refused."""

    model_config = ConfigDict(extra="forbid")


class Alternative(Response):
    text: str
    probability: float


class Bridge(Response):
    text: str
    probability: float
    alternatives: tuple[Alternative, ...]


class Hop(Response):
    prompt: str
    text: str


class Patch(Response):
    source_layer: int
    target_layer: int
    mapping: str


class Fallback(Response):
    reason: str
    engine: str
    strategy: str


class Usage(Response):
    prompt_tokens: int
    completion_tokens: int
    passes: int
    layer_tokens: int


class AnswerObject(Response):
    """An answer with its evidence; `corrected` says that its text came from a patched pass."""

    id: str | None
    answer: str
    strategy: Strategy
    corrected: bool
    direct_answer: str | None
    bridge: Bridge | None
    hops: tuple[Hop, ...]
    patch: Patch | None
    profile: str | None
    confidence: float | None
    fallback: Fallback | None
    usage: Usage
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The corrector's answer as clients see it, in the shell and over HTTP."""
        return cls.model_validate(answer.to_dict())


class ErrorDetail(Response):
    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Response):
    """Every error's body."""

    error: ErrorDetail


class FailedAnswer(Response):
    """What stands in a list for a question that could not be answered."""

    id: str | None
    error: ErrorDetail


def request_body(model: type[BaseModel], *, or_list: bool = False) -> dict[str, Any]:
    """The OpenAPI entry of a body that the route reads itself, to judge each entry of a list on its own."""
    schema = model.model_json_schema()
    either = {"oneOf": [schema, {"type": "array", "items": schema}]} if or_list else schema
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": either}}}}
