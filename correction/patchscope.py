"""A Patchscope as data: (S, i, M, l) x (T, i*, f, M*, l*), the same in the shell and in files.

Nothing runs here; `correction.inspector` does that. Field names are the paper's in words (Ghandeharioun et al. 2024,
section 3): prompt, position, layer and model of the source and of the target, and the mapping between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correction.errors import InvalidInput
from correction.models import LoadedModel

Place = int | str
Layer = Annotated[int, Field(ge=0)]


class _Point(BaseModel):
    """Where in which pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | tuple[int, ...]
    layer: Layer | tuple[Layer, ...]
    position: Place | tuple[Place, ...] = -1
    model: str | None = None


class Source(_Point):
    """S, i, M, l: where states are read.

    prompt: text as the model is to read it, or token ids. position: a token index (-1 is the last), or a text of which
    the last token of its last occurrence is meant; a list of these is a span. layer: 0 is what the first block gets,
    L what the last one gives; a list gives each token of the span its own. model: None is the model in use.
    """


class Target(_Point):
    """T, i*, M*, l*: where they are written. Fields as those of a `Source`; the spans of both have one length."""


class Graft(BaseModel):
    """A further state for the same target pass: its own source, mapping and site (layer and position there)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    layer: Layer | tuple[Layer, ...]
    position: Place | tuple[Place, ...] = -1
    mapping: str = "identity"


class Patchscope(BaseModel):
    """Read states at the source, map them, write them at the target, generate at most `max_tokens`.

    mapping: a name, the file of a fitted mapping, or several joined by "+". also: more states for the same pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    target: Target
    mapping: str = "identity"
    max_tokens: Annotated[int, Field(ge=1)] = 16
    also: tuple[Graft, ...] = ()

    @property
    def grafts(self) -> tuple[Graft, ...]:
        """Everything that is written into the target pass."""
        first = Graft(source=self.source, layer=self.target.layer, position=self.target.position, mapping=self.mapping)
        return (first, *self.also)

    @classmethod
    def parse(cls, fields: Any) -> Patchscope:
        """From JSON's objects; raises `InvalidInput` naming the field that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "patchscope"
            raise InvalidInput(f"{where}: {first['msg']}", param=where) from None

    def to_json(self) -> dict[str, Any]:
        """What `parse` reads: defaults are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class Sites:
    """A point found in its prompt: token ids, and the layer and index of each token of the span."""

    tokens: tuple[int, ...]
    layers: tuple[int, ...]
    positions: tuple[int, ...]


def find_sites(
    loaded: LoadedModel,
    prompt: str | tuple[int, ...],
    layer: int | tuple[int, ...],
    position: Place | tuple[Place, ...],
) -> Sites:
    """Where a point is in its model's pass. Raises `InvalidInput` for a site outside the model or the prompt."""
    if isinstance(prompt, str):
        encoded = loaded.tokenizer(prompt, return_offsets_mapping=True)
        tokens, offsets = tuple(encoded["input_ids"]), list(encoded["offset_mapping"])
    else:
        tokens, offsets = prompt, []
    if not tokens:
        raise InvalidInput("the prompt is empty", hint="give at least one token", param="prompt")
    places = position if isinstance(position, tuple) else (position,)
    positions = tuple(_index(place, prompt, len(tokens), offsets) for place in places)
    layers = layer if isinstance(layer, tuple) else (layer,) * len(positions)
    if len(layers) != len(positions):
        raise InvalidInput(
            f"{len(layers)} layers for {len(positions)} positions", hint="give one layer, or one a token", param="layer"
        )
    depth = loaded.parts.depth
    for k in layers:
        if not 0 <= k <= depth:
            raise InvalidInput(f"layer {k} is out of range", hint=f"the model has layers 0 to {depth}", param="layer")
    return Sites(tokens, layers, positions)


def _index(place: Place, prompt: str | tuple[int, ...], length: int, offsets: list[tuple[int, int]]) -> int:
    if isinstance(place, int):
        if not -length <= place < length:
            raise InvalidInput(
                f"position {place} is out of range",
                hint=f"the prompt has {length} tokens: {-length} to {length - 1}",
                param="position",
            )
        return place % length
    if not isinstance(prompt, str):
        raise InvalidInput("a prompt of token ids has no text to find", hint="give positions as numbers")
    text = place.rstrip()
    found = prompt.rfind(text) + len(text) if text and text in prompt else None
    # Over the tokens, not the occurrences: of those there may be as many as characters.
    inside: int | None = None
    ends: dict[int, tuple[int, int]] = {}
    for index, (first, last) in enumerate(offsets):
        if first < last:
            ends.setdefault(last, (index, first))
    for end, (index, first) in reversed(ends.items() if found else ()):
        start = end - len(text)
        if start < 0 or not prompt.endswith(text, 0, end) or prompt[first:start].strip():
            continue
        if not _within_a_word(prompt, start, end):
            return index
        inside = index if inside is None else inside
    if inside is not None:
        return inside
    merged = next((prompt[first:last] for first, last in offsets if found and first < found <= last), "")
    if merged:
        raise InvalidInput(
            f"the tokenizer merges {place!r} with its neighbours: the token is {merged!r}",
            hint="choose another placeholder or put spaces around it",
            param="position",
        )
    raise InvalidInput(f"{place!r} does not occur in {prompt!r}", hint="give a part of it", param="position")


def _within_a_word(prompt: str, start: int, end: int) -> bool:
    """An x in "next" is a token of some tokenizers, but hardly the placeholder that was meant."""
    before, after = prompt[start - 1 : start], prompt[end : end + 1]
    return (before.isalnum() and prompt[start].isalnum()) or (after.isalnum() and prompt[end - 1].isalnum())
