"""f(h) = W h + b + sum_j a_j k(h, z_j): an affine map, and kernel ridge regression on what it leaves.

k is the radial basis function exp(-||x - z||^2 / 2 s^2) of standardised states. Source: Nyström features (Williams and
Seeger 2001) of landmark states z_j; s by the median heuristic (Gretton et al. 2012, section 8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from correction.mappings.affine import ridge
from correction.mappings.fitted import FittedMapping
from correction.mappings.moments import Moments

LANDMARKS = 512


@dataclass(frozen=True, eq=False)
class Kernel(FittedMapping):
    """weight, bias: as in `Affine`. center, spread: (source width,), by which a state is standardised and divided by
    sqrt(2) s. landmarks: (landmarks, source width), standardised alike. amplitudes: (target width, landmarks).
    """

    SHAPES: ClassVar = {
        "weight": ("target", "source"),
        "bias": ("target",),
        "center": ("source",),
        "spread": ("source",),
        "landmarks": ("landmarks", "source"),
        "amplitudes": ("target", "landmarks"),
    }

    center: Tensor
    spread: Tensor
    landmarks: Tensor
    amplitudes: Tensor

    def apply(self, states: Tensor) -> Tensor:
        near = nearness((states - self.center) / self.spread, self.landmarks)
        return linear(states, self.weight, self.bias) + near @ self.amplitudes.T


def nearness(states: Tensor, landmarks: Tensor) -> Tensor:
    """exp(-||x - z||^2) for every pair, (rows, landmarks), by one formula for any number of rows."""
    squares = states.square().sum(-1, keepdim=True) + landmarks.square().sum(-1) - 2 * states @ landmarks.T
    return squares.clamp_min(0).neg().exp()


class Reservoir:
    """A seeded uniform sample of rows of a stream of unknown length: those with the smallest random keys."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._random = np.random.default_rng(seed)
        self._keys = torch.empty(0, dtype=torch.float64)
        self.rows: Tensor | None = None

    def add(self, states: Tensor) -> None:
        """Takes in (rows, width); how rows are cut into batches makes no difference."""
        keys = torch.cat([self._keys, torch.from_numpy(self._random.random(len(states)))])
        kept = keys.argsort()[: self.size]
        rows = states if self.rows is None else torch.cat([self.rows, states])
        self._keys, self.rows = keys[kept], rows[kept.to(rows.device)]


def nystroem(
    moments: Moments, sample: Tensor, rows: Iterable[tuple[Tensor, Tensor]], *, strength: float
) -> dict[str, Tensor]:
    """The weights of min sum ||f(h) - t||^2 + lambda |f|^2: W and b by ridge, then the kernel part on what it leaves.

    |.| is the norm of the kernel's space, restricted to the landmarks `sample`, (landmarks, source width); lambda is
    relative, as in `ridge`, for either part.
    """
    weight, bias = ridge(moments, strength)
    landmarks = (sample.double() - moments.source_mean) / moments.source_spread
    distances = torch.pdist(landmarks)
    apart = distances[distances > 0]
    scale = 2**0.5 * (float(apart.median()) if len(apart) else 1.0)
    landmarks = landmarks / scale
    spread = moments.source_spread * scale
    values, vectors = torch.linalg.eigh(nearness(landmarks, landmarks))
    # Directions in which the landmarks repeat one another would be blown up noise.
    kept = values > 1e-7 * values.max()
    whiten = vectors[:, kept] / values[kept].sqrt()
    left = Moments()
    for source, target in rows:
        features = nearness((source - moments.source_mean) / spread, landmarks) @ whiten
        left.add(features, target - source.double() @ weight.T - bias)
    amplitudes, shift = ridge(left, strength)
    return {
        "weight": weight,
        "bias": bias + shift,
        "center": moments.source_mean,
        "spread": spread,
        "landmarks": landmarks,
        "amplitudes": amplitudes @ whiten.T,
    }
