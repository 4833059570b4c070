"""What is deployed, as an operator sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from service.schemas.answer import Patch
from service.schemas.base import Number, Response

if TYPE_CHECKING:
    from correction.corrector import Corrector

EXAMPLES = 5


class Thresholds(Response):
    """Where `deployed` changes its way; probabilities, and counts of bridges and tokens."""

    exit: Number
    answer: Number
    sure: Number
    select: Number
    bridges: int
    bridge_tokens: int
    margin: Number


class ProfileObject(Response):
    """The profile in use; `name` is null for a model without one. evidence: what calibration found.

    layers: the model's depth L. replay: how many questions it was proven on before it was taken into use; examples: the
    first few of them. loaded: when that was, ISO 8601, UTC.
    """

    name: str | None
    model: str
    fingerprint: str
    layers: int
    strategy: str
    choice: Patch
    patched: Patch
    mid_layer: Patch
    back_patched: Patch
    answer_layer: int | None
    back_patching: bool
    thresholds: Thresholds
    placeholder: str
    evidence: dict[str, Any]
    replay: int
    examples: list[str]
    loaded: str

    @classmethod
    def of(cls, corrector: Corrector, model: str, loaded: str) -> Self:
        """The corrector's profile. `model` is what clients call the model: its path is nobody's business."""
        used = corrector.used
        name = corrector.profile and corrector.profile.name
        fields = {field: getattr(used, field) for field in cls.model_fields if hasattr(used, field)}
        own: dict[str, Any] = {"name": name, "model": model, "layers": corrector.loaded.parts.depth, "loaded": loaded}
        own |= {"replay": len(used.replay), "examples": [entry.question for entry in used.replay[:EXAMPLES]]}
        return cls.model_validate(fields | own, from_attributes=True)
