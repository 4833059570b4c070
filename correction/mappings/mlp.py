"""f(h) = W h + b + V gelu(U h + c): an affine map, and a small network for what it leaves.

Source: a learned f of Patchscopes (arXiv 2401.06102, section 3). The affine part is the network's skip connection,
which also works where the widths of the two models differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

from correction.mappings.affine import ridge
from correction.mappings.fitted import FittedMapping
from correction.mappings.moments import Moments

HIDDEN = 512
MINIBATCH = 128
RATE = 3e-3


@dataclass(frozen=True, eq=False)
class MLP(FittedMapping):
    """weight, bias: as in `Affine`. into: (hidden, source width). threshold: (hidden,). out: (target width, hidden)."""

    SHAPES: ClassVar = {
        "weight": ("target", "source"),
        "bias": ("target",),
        "into": ("hidden", "source"),
        "threshold": ("hidden",),
        "out": ("target", "hidden"),
    }

    into: Tensor
    threshold: Tensor
    out: Tensor

    def apply(self, states: Tensor) -> Tensor:
        return linear(states, self.weight, self.bias) + gelu(linear(states, self.into, self.threshold)) @ self.out.T


def train(
    moments: Moments,
    rows: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    *,
    strength: float,
    epochs: int,
    seed: int,
    hidden: int = HIDDEN,
) -> dict[str, Tensor]:
    """The weights of min mean ||(f(h) - t) / sigma||^2, sigma the standard deviation of each target component.

    W and b are the ridge solution and stay; U, c, V are trained on what it leaves, from V = 0, by AdamW with a rate
    that falls to 0. Sources and targets are standardised for the training only: the weights take states as they are.
    `rows()` starts the training rows again, once for each epoch; they are shuffled within each of its batches.
    """
    weight, bias = ridge(moments, strength)
    device = weight.device
    generator = torch.Generator().manual_seed(seed)
    width, spread, scale = len(moments.source_mean), moments.source_spread, moments.target_spread
    into = torch.randn(hidden, width, generator=generator).to(device) / width**0.5
    threshold, out = torch.zeros(hidden, device=device), torch.zeros(len(bias), hidden, device=device)
    shift = torch.zeros(len(bias), device=device)
    trained = [tensor.requires_grad_() for tensor in (into, threshold, out, shift)]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    seen = 0
    with torch.enable_grad():
        for _ in range(epochs):
            for source, target in rows():
                left = ((target - source.double() @ weight.T - bias) / scale).float()
                inputs = ((source - moments.source_mean) / spread).float()
                order = torch.randperm(len(source), generator=generator).to(device)
                for start in range(0, len(source), MINIBATCH):
                    chosen = order[start : start + MINIBATCH]
                    optimizer.param_groups[0]["lr"] = RATE * (1 - seen / (epochs * moments.rows))
                    given = gelu(linear(inputs[chosen], into, threshold)) @ out.T + shift
                    optimizer.zero_grad()
                    torch.autograd.backward((given - left[chosen]).square().mean())
                    optimizer.step()
                    seen += len(chosen)
    into, threshold, out, shift = (tensor.detach().double() for tensor in trained)
    into = into / spread
    return {
        "weight": weight,
        "bias": bias + shift * scale,
        "into": into,
        "threshold": threshold - into @ moments.source_mean,
        "out": scale[:, None] * out,
    }
