"""A question and its answer, as the design's section 7 names their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import ValidationError

from correction.errors import HopfixError
from correction.questions import Question
from service.schemas.base import Alternative, ErrorDetail, Number, Request, Response, Text

if TYPE_CHECKING:
    from correction.answers import Answer

# Named here again because the corrector's own list comes with torch; a test compares the two.
Strategy = Literal[
    "direct", "two_step", "step_by_step", "patched", "hard_token", "mid_layer", "back_patched", "deployed"
]


class AnswerRequest(Request):
    """A question, or its two hops, and how to answer it.

    hop2 to hop4 hold `{}` where the bridge before them goes. direct: a cloze of the whole, for the plain answer. id
    comes back. with_direct asks for the plain answer too. source_layer (1 to L), target_layer (0 to L-1) and mapping
    override the profile's patch.
    """

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


class Bridge(Response):
    """Hop 1's answer, its probability, and the likeliest first tokens, or bridges where several were weighed."""

    text: str
    probability: Number
    alternatives: tuple[Alternative, ...]


class Hop(Response):
    """A hop as it was asked, `{}` for the bridge, and what came out."""

    prompt: str
    text: str


class Patch(Response):
    """The layer that the state was taken from, the one it was written into, and the mapping between them."""

    source_layer: int
    target_layer: int
    mapping: str


class Fallback(Response):
    """Why the answer is not from a patched pass, which engine gave it, and by which strategy."""

    reason: str
    engine: str
    strategy: str


class Usage(Response):
    """Over all passes of an answer. layer_tokens: blocks run times tokens."""

    prompt_tokens: int
    completion_tokens: int
    passes: int
    layer_tokens: int


class AnswerObject(Response):
    """An answer with its evidence; `corrected` says that its text came from a patched pass.

    confidence: the probability that it is right. patch: null if nothing was patched, fallback: null unless something
    else than what was asked for gave the answer. timings_ms: milliseconds by stage, and `total`.
    """

    id: str | None
    answer: str
    strategy: Strategy
    corrected: bool
    direct_answer: str | None
    bridge: Bridge | None
    hops: tuple[Hop, ...]
    patch: Patch | None
    profile: str | None
    confidence: Number | None
    fallback: Fallback | None
    usage: Usage
    timings_ms: dict[str, Number]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """The corrector's answer as clients see it, in the shell and over HTTP.

        Raises `HopfixError` for a model whose numbers are none: such an answer means nothing.
        """
        try:
            return cls.model_validate(answer, from_attributes=True)
        except ValidationError as error:
            if any(wrong["type"] != "finite_number" for wrong in error.errors()):
                raise
            raise HopfixError(
                "the model gave a number that is not finite", hint="load it in float32 or bfloat16"
            ) from None


class FailedAnswer(Response):
    """What stands in a list for a question that could not be answered."""

    id: str | None
    error: ErrorDetail
