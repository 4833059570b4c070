"""What a request to vLLM carries for hopfix's plugin, and what the plugin answers: JSON text, the same over HTTP.

The text stands in `SamplingParams.extra_args["hopfix"]` (over HTTP `vllm_xargs`), the answer in
`kv_transfer_params["hopfix"]`, which every vLLM output has. States travel as base64 bytes with their dtype and shape;
everything is checked where it is read, nothing is unpickled.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from correction.errors import InvalidInput
from correction.mappings import (
    IDENTITY,
    MAPPINGS,
    TOKEN,
    FittedMapping,
    Mapping,
    mapping_named,
    parts_of,
)
from correction.passes import Capture, Pass, Patch, Relay

MOST_SITES = 1024  # read and written by one request
MOST_PARTS = 8  # of a chain of mappings
MOST_BLANKS = 64  # numbers of tokens that a relay takes up
MOST_CHARACTERS = 64 << 20  # of one request's text
REMEMBERED_CHARACTERS = 1 << 14  # of a text that is worth remembering: those that many requests share are short
DTYPE = "float32"
READS_TARGET = ("norm_matched", "added")  # mappings that need the state that is replaced, so they run in the model

Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Packed(BaseModel):
    """States: rows of one width."""

    model_config = ConfigDict(strict=True, extra="forbid")

    dtype: str
    shape: Annotated[tuple[Number, Number], Field(strict=False)]  # a report was JSON in another process
    data: str


class Then(BaseModel):
    """A relay: `correction.passes.Relay`, whose second pass the engine core makes."""

    model_config = ConfigDict(strict=True, extra="forbid")

    blanks: Annotated[list[tuple[list[Number], list[Number]]], Field(min_length=1, max_length=MOST_BLANKS)]
    layer: Number
    mapping: str
    max_tokens: Annotated[Number, Field(ge=1)]
    exit: Number | None = None
    least: float = 0.0


class Sites(BaseModel):
    """captures: (layer, position, follow). patches: (layer, position, mapping or token id); the states of the former in
    their order."""

    model_config = ConfigDict(strict=True, extra="forbid")

    captures: Annotated[list[tuple[Number, Number, bool]], Field(max_length=MOST_SITES)] = []
    patches: Annotated[list[tuple[Number, Number, str | Number]], Field(max_length=MOST_SITES)] = []
    states: Packed | None = None
    exit: Number | None = None
    lens: Number | None = None
    then: Then | None = None


class Report(BaseModel):
    """What the plugin did. patched: how many patches were written. states: for each capture. error: why it failed."""

    model_config = ConfigDict(extra="forbid")

    patched: int = 0
    states: list[Packed] = []
    lens: float | None = None
    error: str | None = None
    first: First | None = None


class First(BaseModel):
    """The first pass of a relay that has become two. tokens: how many of those generated are its own."""

    model_config = ConfigDict(extra="forbid")

    tokens: int
    states: list[Packed]
    lens: float | None = None


def to_text(request: Pass, then: Relay | None = None) -> str | None:
    """What a pass asks of the plugin, None if nothing.

    Fitted mappings at the front of a chain are applied here, where their weights are; what reads the model or the state
    that is replaced is left to the plugin. Raises `InvalidInput` for a mapping that has to run in between.
    """
    if request.plain:
        return None
    patches: list[tuple[int, int, str | int]] = []
    states: list[Tensor] = []
    for patch in request.patches:
        if patch.mapping is TOKEN:
            patches.append((patch.layer, patch.position, int(patch.state)))
        else:
            name, state = _sendable(patch)
            patches.append((patch.layer, patch.position, name))
            states.append(state)
    sites = {
        "captures": [(capture.layer, capture.position, capture.follow) for capture in request.captures],
        "patches": patches,
        "states": packed(torch.stack(states).float().cpu().numpy()) if states else None,
        "exit": request.exit,
        "lens": request.lens,
        "then": None if then is None else _relay(then),
    }
    return json.dumps({name: value for name, value in sites.items() if value not in (None, [])})


def _relay(then: Relay) -> dict[str, Any]:
    relay = {"blanks": then.blanks, "layer": then.layer, "mapping": _name(then.mapping, parts_of(then.mapping))}
    relay |= {"max_tokens": then.sampling.max_tokens, "exit": then.exit, "least": then.least}
    return {name: value for name, value in relay.items() if value is not None}


def _sendable(patch: Patch) -> tuple[str, Tensor]:
    state, rest = patch.state, parts_of(patch.mapping)
    while rest and isinstance(first := rest[0], FittedMapping):
        state = first.on(state.device).apply(state.float().unsqueeze(0)).squeeze(0)
        rest = rest[1:]
    return _name(patch.mapping, rest), state


def sendable(mapping: Mapping) -> bool:
    """Whether the plugin can apply all of it."""
    known = all(part is MAPPINGS.get(part.name) for part in parts_of(mapping))
    return known and not any(part.embeds for part in split(mapping)[1])


def _name(mapping: Mapping, parts: tuple[Mapping, ...]) -> str:
    """Of the parts of a mapping that the plugin applies."""
    if any(part is not MAPPINGS.get(part.name) for part in parts) or any(p.embeds for p in split(mapping)[1]):
        raise InvalidInput(
            f"the mapping {mapping.name!r} cannot be applied inside vLLM",
            hint="put what was fitted first, or use the engine hf",
            param="mapping",
        )
    return "+".join(part.name for part in parts) or IDENTITY.name


def outline(text: str) -> Sites:
    """The sites, their states still packed. Raises `InvalidInput` that says what is wrong with the text."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(f"hopfix: the text has {len(text)} characters, the most is {MOST_CHARACTERS}")
    return _outline(text) if len(text) <= REMEMBERED_CHARACTERS else _outline.__wrapped__(text)


@lru_cache(maxsize=256)
def _outline(text: str) -> Sites:
    try:
        return Sites.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise InvalidInput(f"hopfix: {where}: {first['msg']}") from None


def from_text(text: str) -> Pass:
    """The sites as a pass without its prompt. Raises `InvalidInput` that says what is wrong with the text."""
    return _from_text(text) if len(text) <= REMEMBERED_CHARACTERS else _from_text.__wrapped__(text)


@lru_cache(maxsize=256)
def _from_text(text: str) -> Pass:
    sites = outline(text)
    named = [mapping for _, _, mapping in sites.patches if isinstance(mapping, str)]
    states = unpacked(sites.states) if sites.states else torch.empty(0, 0)
    if len(states) != len(named):
        raise InvalidInput(f"hopfix: {len(named)} patches with a mapping, but {len(states)} states")
    rows = iter(states)
    return Pass(
        (),
        tuple(Capture(*capture) for capture in sites.captures),
        tuple(
            Patch(layer, position, torch.tensor([mapping]), TOKEN)
            if isinstance(mapping, int)
            else Patch(layer, position, next(rows), mapping_of(mapping))
            for layer, position, mapping in sites.patches
        ),
        exit=sites.exit,
        lens=sites.lens,
    )


def mapping_of(name: str) -> Mapping:
    """What a text names; raises `InvalidInput` for what the plugin does not apply."""
    names = name.split("+", MOST_PARTS)
    if len(names) > MOST_PARTS:
        raise InvalidInput(f"hopfix: a chain of more than {MOST_PARTS} mappings")
    unknown = [part for part in names if part not in MAPPINGS]
    if unknown:  # above all no file, which is the business of who runs the machine
        raise InvalidInput(f"hopfix: unknown mapping {unknown[0]!r}", hint=f"known: {', '.join(MAPPINGS)}")
    mapping = mapping_named(name)
    if any(part.embeds for part in split(mapping)[1]):
        raise InvalidInput(f"hopfix: {name!r} reads the model too late", hint="put the vocabulary mapping first")
    return mapping


def split(mapping: Mapping) -> tuple[tuple[Mapping, ...], tuple[Mapping, ...]]:
    """The parts that can be applied beforehand, and those from the first on that needs the state that is replaced."""
    parts = parts_of(mapping)
    cut = next((n for n, part in enumerate(parts) if part.name in READS_TARGET), len(parts))
    return parts[:cut], parts[cut:]


def relayed(then: Then, states: NDArray[np.float32]) -> tuple[list[int], str]:
    """The second pass of a relay: its prompt, and the text of its sites."""
    prompt, sites = then.blanks[len(states) - 1]
    text: dict[str, Any] = {"patches": [(then.layer, at, then.mapping) for at in sites], "states": packed(states)}
    return prompt, json.dumps(text if then.exit is None else {**text, "exit": then.exit})


def digest(text: str) -> str:
    """Tells apart what two requests ask of the plugin. Hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def packed(states: NDArray[np.float32]) -> dict[str, Any]:
    """States, (rows, width), as JSON."""
    data = base64.b64encode(np.ascontiguousarray(states, np.float32).tobytes()).decode()
    return {"dtype": DTYPE, "shape": states.shape, "data": data}


def unpacked(given: Packed) -> Tensor:
    """The states; raises `InvalidInput` for bytes that are not what they say, or numbers that are not finite."""
    if given.dtype != DTYPE:
        raise InvalidInput(f"hopfix: states of dtype {given.dtype!r}", hint=f"send {DTYPE}")
    try:
        data = base64.b64decode(given.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"hopfix: the states are not base64 ({error})") from None
    if min(given.shape) < 1 or len(data) != 4 * math.prod(given.shape):
        raise InvalidInput(f"hopfix: {len(data)} bytes for states of shape {given.shape} in {DTYPE}")
    states = np.frombuffer(bytearray(data), np.float32).reshape(given.shape)
    if not np.isfinite(states).all():
        raise InvalidInput("hopfix: a hidden state is not finite")
    return torch.from_numpy(states)


def report_of(given: Any) -> Report | None:
    """The plugin's answer, None if there is none: whoever asked it something must not take that for a yes."""
    try:
        return None if given is None else Report.model_validate(given)
    except ValidationError:
        return None
