"""Mappings applied one after another, and whether mappings were fitted for the models that they are used with.

A state starts in the source model. A part fitted across two models carries it to the other one, and a part that reads a
model's head after that (`vocabulary`) reads the target's: it gets the target's parts as `origin`. Models and widths of
fitted parts must join. Nothing that reads a hidden state may follow a part that gives token embeddings; rescaling may.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput, InvalidMapping
from correction.mappings.base import Mapping
from correction.mappings.fitted import FittedMapping


@dataclass(frozen=True, eq=False)
class Chain:
    """At least two mappings, applied from left to right; a chain in a chain is its parts.

    Raises `InvalidInput` for parts that cannot follow one another.
    """

    parts: tuple[Mapping, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(part for mapping in self.parts for part in parts_of(mapping)))
        if len(self.parts) < 2:
            raise InvalidInput("a chain needs at least two mappings", hint="use the mapping alone", param="mapping")
        _check_order(self.parts)

    @property
    def name(self) -> str:
        """The parts' names, joined."""
        return "+".join(part.name for part in self.parts)

    @property
    def widths(self) -> tuple[int, int] | None:
        """From the first part that has widths to the last; None if every part works at any width."""
        known = [part.widths for part in self.parts if part.widths]
        return (known[0][0], known[-1][1]) if known else None

    @property
    def embeds(self) -> bool:
        """Whether a part gives embeddings: what may follow it only rescales them."""
        return any(part.embeds for part in self.parts)

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        for part in self.parts:
            source = part(source, target, origin, parts)
            if isinstance(part, FittedMapping) and part.fitted.crosses:
                origin = parts
        return source


def parts_of(mapping: Mapping) -> tuple[Mapping, ...]:
    """The parts of a chain; a mapping by itself is its only part."""
    return mapping.parts if isinstance(mapping, Chain) else (mapping,)


def check_fitted_for(
    mapping: Mapping, source_model: str, target_model: str, source_layer: int, target_layer: int
) -> list[str]:
    """Warnings where the mapping's fitted parts come from other layers than these; models are fingerprints.

    Raises `InvalidMapping` if a part was fitted for other models. A mapping without fitted parts suits every model.
    """
    parts = parts_of(mapping)
    fitted = [part.fitted for part in parts if isinstance(part, FittedMapping)]
    if not fitted:
        return []
    # Embeddings are looked up in the target's table, whichever model the state was decoded in.
    decoded = any(part.embeds for part in parts)
    for role, made_for, accepted in (
        ("source", fitted[0].source_model, {source_model}),
        ("target", fitted[-1].target_model, {target_model, source_model} if decoded else {target_model}),
    ):
        if made_for not in accepted:
            raise InvalidMapping(
                f"the mapping {mapping.name!r} was fitted for another {role} model ({made_for[:19]}...)",
                hint="give the models that it was fitted for, or fit one for these with 'hopfix fit'",
            )
    joints = [("source", fitted[0].source_layer, source_layer)]
    joints += [("source", after.source_layer, before.target_layer) for before, after in pairwise(fitted)]
    joints += [] if decoded else [("target", fitted[-1].target_layer, target_layer)]
    return [
        f"the mapping {mapping.name!r} was fitted for {role} layer {made_for} and is used at layer {used}"
        for role, made_for, used in joints
        if made_for != used
    ]


def _check_order(parts: tuple[Mapping, ...]) -> None:
    embedding = next((part for part in parts if part.embeds), None)
    behind = parts[parts.index(embedding) + 1 :] if embedding else ()
    for part in behind:
        if part.embeds or part.widths:
            raise InvalidInput(
                f"{part.name!r} takes a hidden state and cannot follow {embedding and embedding.name!r}, "
                "which gives token embeddings",
                hint="put it first",
                param="mapping",
            )
    for before, after in pairwise([part for part in parts if part.widths]):
        assert before.widths
        assert after.widths
        if before.widths[1] != after.widths[0]:
            raise InvalidInput(
                f"{before.name!r} gives states of width {before.widths[1]} and {after.name!r} takes {after.widths[0]}",
                hint="chain mappings whose widths fit one another",
                param="mapping",
            )
        if isinstance(before, FittedMapping) and isinstance(after, FittedMapping):
            _check_models(before, after)


def _check_models(before: FittedMapping, after: FittedMapping) -> None:
    if before.fitted.target_model != after.fitted.source_model:
        raise InvalidInput(
            f"{before.name!r} gives states of the model {before.fitted.target_model[:19]}... and {after.name!r} takes "
            f"those of {after.fitted.source_model[:19]}...",
            hint="chain mappings that were fitted for the same model where they meet",
            param="mapping",
        )
