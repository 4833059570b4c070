"""Mappings f: hidden state -> hidden state, applied to a source state when it is written into the target pass.

A mapping sees the states to be written, the states they replace, and the model's parts; all states are
(rows, width). None of the mappings here is fitted: they are the same for every model.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput


class Mapping(Protocol):
    """`name` is what profiles, tables and requests call it."""

    name: str

    def __call__(self, source: Tensor, target: Tensor, parts: Blocks) -> Tensor:
        """The states to write, (rows, width), for the source states and the target states that they replace."""
        ...


class Identity:
    """The state as it is (Patchscopes, section 3; the mapping of its multi-hop experiment)."""

    name = "identity"

    def __call__(self, source: Tensor, target: Tensor, parts: Blocks) -> Tensor:
        return source


class NormMatched:
    """The state scaled to the length of the one it replaces: later layers have longer states."""

    name = "norm_matched"

    def __call__(self, source: Tensor, target: Tensor, parts: Blocks) -> Tensor:
        length: Tensor = target.norm(dim=-1, keepdim=True) / source.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return source * length


class Vocabulary:
    """f(h) = softmax(norm(h) U^T) E: the expected embedding of the token that the state predicts.

    Written at layer 0 it goes to the embedding's output, so that a one-hot prediction equals writing that token as text
    also where a model scales, normalises or adds positions to its embeddings.
    """

    name = "vocabulary"

    def __call__(self, source: Tensor, target: Tensor, parts: Blocks) -> Tensor:
        return parts.predict(source).float().softmax(-1).to(source.dtype) @ parts.embeddings()


class HardToken:
    """The embedding of the likeliest token that the state predicts: the vocabulary mapping made one-hot."""

    name = "hard_token"

    def __call__(self, source: Tensor, target: Tensor, parts: Blocks) -> Tensor:
        return parts.embeddings()[parts.predict(source).argmax(-1)]


IDENTITY = Identity()
MAPPINGS: dict[str, Mapping] = {m.name: m for m in (IDENTITY, NormMatched(), Vocabulary(), HardToken())}
EMBEDDING_MAPPINGS = frozenset({"vocabulary", "hard_token"})


def mapping_named(name: str) -> Mapping:
    """The mapping of that name; raises `InvalidInput` naming those there are."""
    try:
        return MAPPINGS[name]
    except KeyError:
        raise InvalidInput(
            f"unknown mapping {name!r}", hint=f"choose one of {', '.join(sorted(MAPPINGS))}", param="mapping"
        ) from None


def check_finite(states: Tensor) -> None:
    """Raises `InvalidInput` if a state has an infinite or undefined component."""
    if not bool(torch.isfinite(states).all()):
        raise InvalidInput("a hidden state is not finite", hint="load the model in float32 or bfloat16", param="state")
