"""Pairs of hidden states to fit a mapping on: the states of two models, or layers, at the same places of a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from correction.errors import InvalidInput
from correction.forward import states
from correction.models import LoadedModel

_WORDS = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class Places:
    """The tokens of one text in both models, and the positions that stand at the same places of it."""

    source: tuple[int, ...]
    target: tuple[int, ...]
    source_positions: tuple[int, ...]
    target_positions: tuple[int, ...]


def places(source: LoadedModel, target: LoadedModel, text: str) -> Places:
    """Where the two models can be compared, never at the first token: many models keep no content there.

    With one tokenizer every token; otherwise the last token of every word that ends a token of both. What a model's
    context cannot hold is left out.
    """
    tokens, ends = _encode(source, text)
    if source is target:
        return Places(tokens, tokens, (at := tuple(range(1, len(tokens)))), at)
    others, other_ends = _encode(target, text)
    if _one_tokenizer(source, target):
        return Places(tokens, others, (at := tuple(range(1, min(len(tokens), len(others))))), at)
    words = {word.end() for word in _WORDS.finditer(text)}
    # Where several tokens share one character (byte fallback), the last one has seen it whole.
    at_source = {end: position for position, end in enumerate(ends) if position and end in words}
    at_target = {end: position for position, end in enumerate(other_ends) if position and end in words}
    common = sorted(at_source.keys() & at_target.keys())
    return Places(tokens, others, tuple(at_source[end] for end in common), tuple(at_target[end] for end in common))


def state_pairs(
    source: LoadedModel,
    target: LoadedModel,
    texts: Iterable[str],
    source_layer: int,
    target_layer: int,
    batch: int = 16,
) -> Iterator[tuple[Tensor, Tensor]]:
    """For every `batch` texts the states at their `places`: (places, source width) and (places, target width).

    Raises `InvalidInput` for a layer that a model does not have.
    """
    for role, loaded, layer in (("source", source, source_layer), ("target", target, target_layer)):
        if not 0 <= layer <= loaded.parts.depth:
            raise InvalidInput(
                f"{role} layer {layer} is out of range",
                hint=f"the model has layers 0 to {loaded.parts.depth}",
                param=f"{role}_layer",
            )
    remaining = iter(texts)
    while some := list(islice(remaining, batch)):
        found = [p for text in some if (p := places(source, target, text)).source_positions]
        if not found:
            continue
        prompts, positions = [p.source for p in found], [p.source_positions for p in found]
        if source is target:
            sources, targets = _states(source, prompts, positions, [source_layer, target_layer])
        else:
            (sources,) = _states(source, prompts, positions, [source_layer])
            (targets,) = _states(target, [p.target for p in found], [p.target_positions for p in found], [target_layer])
        yield sources, targets


def _states(
    loaded: LoadedModel, prompts: Sequence[tuple[int, ...]], positions: Sequence[tuple[int, ...]], layers: list[int]
) -> list[Tensor]:
    """For each layer the states at the positions of every prompt, (positions, width)."""
    given = states(loaded.model, loaded.parts, prompts, layers, pad=loaded.pad_token)
    return list(torch.cat([of[:, list(at)] for of, at in zip(given, positions, strict=True)], dim=1))


def _encode(loaded: LoadedModel, text: str) -> tuple[tuple[int, ...], list[int]]:
    """Token ids, and the character at which each ends (0 for special tokens)."""
    encoded = loaded.tokenizer(text, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    return tuple(encoded["input_ids"][: loaded.context]), ends[: loaded.context]


def _one_tokenizer(source: LoadedModel, target: LoadedModel) -> bool:
    return bool(source.tokenizer.backend_tokenizer.to_str() == target.tokenizer.backend_tokenizer.to_str())
