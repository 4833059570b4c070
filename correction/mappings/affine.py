"""f(h) = W h + b, fitted by ridge regression or by Procrustes.

Sources: the tuned lens (arXiv 2303.08112, section 3) and Jump to Conclusions (arXiv 2303.09435, section 3) map a
layer's states to those of the last layer by an affine or linear map, and Patchscopes (arXiv 2401.06102) names affine
mappings for patching across layers and models. Procrustes: Schönemann 1966.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from correction.errors import InvalidInput
from correction.mappings.fitted import FittedMapping
from correction.mappings.moments import Moments


@dataclass(frozen=True, eq=False)
class Affine(FittedMapping):
    """W h + b. weight: (target width, source width). bias: (target width,)."""

    SHAPES: ClassVar = {"weight": ("target", "source"), "bias": ("target",)}

    def apply(self, states: Tensor) -> Tensor:
        return linear(states, self.weight, self.bias)


def ridge(moments: Moments, strength: float) -> tuple[Tensor, Tensor]:
    """W and b of min sum ||W h + b - t||^2 + lambda ||W||^2, in float64; b is not penalised.

    lambda is `strength` times the mean of the diagonal of the centred X^T X, so that one strength suits every model and
    number of rows. Where nothing decides between solutions (strength 0, fewer rows than widths) W is the smallest.
    Raises `InvalidInput` for a strength that is negative or not finite.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise InvalidInput(f"the ridge strength {strength} is not possible", hint="give 0 or more", param="ridge")
    damping = strength * moments.gram.diagonal().mean()
    damped = moments.gram + damping * torch.eye(len(moments.gram)).to(moments.gram)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if failed or not damping:
        solution = torch.linalg.pinv(damped, hermitian=True) @ moments.cross
    else:
        solution = torch.cholesky_solve(moments.cross, factor)
    weight = solution.T
    return weight, moments.target_mean - weight @ moments.source_mean


def procrustes(moments: Moments, scale: bool) -> tuple[Tensor, Tensor]:
    """W and b of min sum ||s W h + b - t||^2 over W with orthonormal columns, in float64; s is 1, or fitted (`scale`).

    W turns states and stretches none, so it is decided by few rows. Into a smaller width W has orthonormal rows and
    drops directions; the least squares then have no closed form, and W is what maximises sum <W h, t>, both centred.
    Raises `InvalidInput` if the states do not vary, so that no direction is known.
    """
    if not bool(moments.cross.any()):
        raise InvalidInput(
            f"{moments.rows} training pairs leave the rotation undecided",
            hint="Procrustes needs at least two different pairs of states",
            param="pairs",
        )
    left, singular, right = torch.linalg.svd(moments.cross, full_matrices=False)
    weight = (left @ right).T
    if scale:
        weight = weight * (singular.sum() / ((weight @ moments.gram) * weight).sum())
    return weight, moments.target_mean - weight @ moments.source_mean
