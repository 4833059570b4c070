"""A Patchscope as a client may send it: the fields of `correction.patchscope`, within limits, and what came of it.

Named here again because the framework's own classes come with torch; a test compares the two. Positions that are texts
are looked for in the event loop, so there are few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from correction.errors import InvalidInput
from service.schemas.base import MAX_TEXT, Alternative, ErrorDetail, Number, Request, Response, Text

if TYPE_CHECKING:
    from correction.inspector import Outcome

MAX_SPAN, MAX_GRAFTS, MAX_SOUGHT = 64, 8, 16

Token = Annotated[int, Field(ge=0, lt=1 << 31)]
Layer = Annotated[int, Field(ge=0, lt=1 << 16)]
Index = Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]
Sought = Annotated[str, Field(min_length=1, max_length=128)]
Prompt = Text | Annotated[list[Token], Field(min_length=1, max_length=MAX_TEXT)]
Layers = Layer | Annotated[list[Layer], Field(min_length=1, max_length=MAX_SPAN)]
Positions = Index | Sought | Annotated[list[Index | Sought], Field(min_length=1, max_length=MAX_SPAN)]
MappingName = Annotated[str, Field(min_length=1, max_length=64)]


class Point(Request):
    """Where in which pass: a prompt (text or token ids), a layer, a position (an index, or a text in the prompt).

    Layers and positions may be lists, a span. `model` is null or the served model's name.
    """

    prompt: Prompt
    layer: Layers
    position: Positions = -1
    model: Text | None = None


class Graft(Request):
    """A further state for the same target pass."""

    source: Point
    layer: Layers
    position: Positions = -1
    mapping: MappingName = "identity"


class PatchscopeFields(Request):
    """Read states at the source, map them, write them at the target, generate at most `max_tokens`."""

    source: Point
    target: Point
    mapping: MappingName = "identity"
    max_tokens: Annotated[int, Field(ge=1)] = 16
    also: Annotated[list[Graft], Field(default_factory=list, max_length=MAX_GRAFTS)]

    @model_validator(mode="after")
    def _few_are_sought(self) -> Self:
        points = (self.source, self.target, *(p for graft in self.also for p in (graft, graft.source)))
        places = [p.position if isinstance(p.position, list) else [p.position] for p in points]
        if sum(isinstance(place, str) for span in places for place in span) > MAX_SOUGHT:
            raise ValueError(f"more than {MAX_SOUGHT} positions are texts; give token indices, see /v1/tokenize")
        return self


class PatchscopeRequest(PatchscopeFields):
    """A Patchscope, and how many of the likeliest first tokens are to come with its text."""

    top: Annotated[int, Field(ge=0, le=100)] = 5

    @property
    def models(self) -> dict[str, str]:
        """The models that it names, by the field that does."""
        named = {"source.model": self.source.model, "target.model": self.target.model}
        named |= {f"also.{n}.source.model": graft.source.model for n, graft in enumerate(self.also)}
        return {field: model for field, model in named.items() if model is not None}

    @property
    def mappings(self) -> dict[str, str]:
        """The mappings that it names, by the field that does."""
        return {"mapping": self.mapping} | {f"also.{n}.mapping": graft.mapping for n, graft in enumerate(self.also)}

    def fields(self) -> dict[str, Any]:
        """What `correction.patchscope.Patchscope.parse` reads, with no model named: there is one."""
        point = {"model"}
        grafts = {"also": {"__all__": {"source": point}}}
        return self.model_dump(exclude={"top": True, "source": point, "target": point, **grafts})


class OutcomeObject(Response):
    """What the target pass said. notes: what should be known before it is believed.

    tokens: the generated ids; logprobs: their natural logarithms. alternatives: the likeliest first tokens, best first.
    """

    text: str
    tokens: list[int]
    logprobs: list[Number]
    alternatives: list[Alternative]
    patchscope: PatchscopeFields
    notes: list[str]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """As the shell prints it; raises `InvalidInput` for a pass whose numbers are none."""
        try:
            return cls.model_validate(outcome.to_json() | {"patchscope": outcome.patchscope.model_dump(mode="json")})
        except ValidationError as error:
            if any(wrong["type"] != "finite_number" for wrong in error.errors()):
                raise
            raise InvalidInput(
                "the patched pass gave numbers that are not finite", hint="choose another mapping or layer"
            ) from None


class FailedPatchscope(Response):
    """What stands in a list for a Patchscope that could not be run."""

    error: ErrorDetail
