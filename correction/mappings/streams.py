"""Pairs of states as a stream that can be read again: what is held out, what is refused, and even batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from correction.errors import InvalidInput
from correction.mappings.base import check_finite

HELD_OUT = 0.1

Pair = tuple[Tensor, Tensor]
Pairs = Callable[[], Iterable[Pair]]
"""Starts the stream again: batches of (source states, target states), (rows, source width) and (rows, target width)."""


class Split:
    """The training and the held-out rows of a stream, in float32.

    About a tenth is held out, drawn by a seed row by row, so that how rows are cut into batches makes no difference.
    The first row is always for training and the second held out: two pairs are enough for both.
    Reading raises `InvalidInput` for rows that do not pair, states that are not finite, fewer than two pairs, and a
    stream that gives another number of rows than the first time.
    """

    def __init__(self, pairs: Pairs, seed: int, on_progress: Callable[[int], object]) -> None:
        self._pairs = pairs
        self._seed = seed
        self._on_progress = on_progress
        self._rows: int | None = None

    def training(self) -> Iterator[Pair]:
        """Batches of the rows to fit on."""
        return self._read(held_out=False)

    def held_out(self) -> Iterator[Pair]:
        """Batches of the rows to measure on."""
        return self._read(held_out=True)

    def _read(self, held_out: bool) -> Iterator[Pair]:
        random = np.random.default_rng(self._seed)
        seen = 0
        for source, target in self._pairs():
            if source.dim() != 2 or target.dim() != 2 or len(source) != len(target):
                raise InvalidInput(
                    f"states of shape {tuple(source.shape)} and {tuple(target.shape)} are no pairs",
                    hint="give (rows, source width) and (rows, target width)",
                    param="pairs",
                )
            check_finite(source)
            check_finite(target)
            drawn = random.random(len(source)) < HELD_OUT
            for row, fixed in ((0, False), (1, True)):
                if seen <= row < seen + len(source):
                    drawn[row - seen] = fixed
            chosen = torch.from_numpy(drawn == held_out).to(source.device)
            yield source[chosen].float(), target.to(source.device)[chosen].float()
            seen += len(source)
            self._on_progress(len(source))
        if seen < 2:
            raise InvalidInput(f"{seen} pairs of states are too few", hint="give at least two", param="pairs")
        if self._rows not in (None, seen):
            raise InvalidInput(
                f"the stream of pairs gave {self._rows} rows at first and {seen} when read again",
                hint="give a function that starts the stream from the beginning",
                param="pairs",
            )
        self._rows = seen


def even(batches: Iterable[Pair], rows: int) -> Iterator[Pair]:
    """The same rows in batches of `rows`, the last one shorter."""
    waiting: list[Pair] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch[0])
        while count >= rows:
            source, target = (torch.cat(tensors) for tensors in zip(*waiting, strict=True))
            yield source[:rows], target[:rows]
            waiting, count = [(source[rows:], target[rows:])], count - rows
    if count:
        source, target = (torch.cat(tensors) for tensors in zip(*waiting, strict=True))
        yield source, target
