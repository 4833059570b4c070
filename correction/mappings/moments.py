"""First and second moments of pairs of states, gathered batch by batch: all that an affine fit needs of its data."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Means and centred second moments of (source, target) rows, in float64.

    Batches are centred on their own means and merged (Chan, Golub, LeVeque 1983), so that a large mean, usual in hidden
    states, costs no digits. Holds d1 (d1 + d2) numbers, however many rows there are.

    gram: centred X^T X, (source width, source width). cross: centred X^T T, (source width, target width).
    squares: centred sums of squares of each target component, (target width,).
    """

    source_mean: Tensor
    target_mean: Tensor
    gram: Tensor
    cross: Tensor
    squares: Tensor

    def __init__(self) -> None:
        self.rows = 0

    def add(self, source: Tensor, target: Tensor) -> None:
        """Takes in (rows, source width) and (rows, target width)."""
        added = len(source)
        if not added:
            return
        source, target = source.double(), target.double()
        source_mean, target_mean = source.mean(0), target.mean(0)
        source, target = source - source_mean, target - target_mean
        gram, cross, squares = source.T @ source, source.T @ target, target.square().sum(0)
        if not self.rows:
            self.source_mean, self.target_mean = source_mean, target_mean
            self.gram, self.cross, self.squares = gram, cross, squares
        else:
            share = added / (self.rows + added)
            source_step, target_step = source_mean - self.source_mean, target_mean - self.target_mean
            self.gram += gram + self.rows * share * torch.outer(source_step, source_step)
            self.cross += cross + self.rows * share * torch.outer(source_step, target_step)
            self.squares += squares + self.rows * share * target_step.square()
            self.source_mean = self.source_mean + share * source_step
            self.target_mean = self.target_mean + share * target_step
        self.rows += added

    @property
    def source_spread(self) -> Tensor:
        """Standard deviation of each source component, 1 for one that never changes; (source width,)."""
        return _spread(self.gram.diagonal() / self.rows)

    @property
    def target_spread(self) -> Tensor:
        """Standard deviation of each target component, 1 for one that never changes; (target width,)."""
        return _spread(self.squares / self.rows)


def _spread(variances: Tensor) -> Tensor:
    return torch.where(variances > 0, variances, 1.0).sqrt()
