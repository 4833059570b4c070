"""What a mapping f is: hidden states -> hidden states, applied to a source state when it is written into the target.

A mapping sees the states to be written, the states they replace, and the parts of the two models; states are
(rows, width), of the source model's width before the mapping and of the target model's after it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput


class Mapping(Protocol):
    """`name` is what profiles, tables and requests call it.

    widths: the source and target width of a mapping that was fitted; None for one that works at any width and keeps it.
    embeds: the result is a mixture of token embeddings. Written at layer 0 it goes to the embedding's output, so that a
    one-hot mixture equals writing that token as text also where a model scales, normalises or adds positions to its
    embeddings; any other mapping is written where layer 0 is read, at the first block's input.
    """

    @property
    def name(self) -> str: ...

    @property
    def widths(self) -> tuple[int, int] | None: ...

    @property
    def embeds(self) -> bool: ...

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        """The states to write, (rows, target width).

        source: (rows, source width), of the model whose parts `origin` are. target: the states that are replaced,
        (rows, target width), of the model whose parts `parts` are.
        """
        ...


def check_finite(states: Tensor) -> None:
    """Raises `InvalidInput` if a state has an infinite or undefined component."""
    if not bool(torch.isfinite(states).all()):
        raise InvalidInput("a hidden state is not finite", hint="load the model in float32 or bfloat16", param="state")
