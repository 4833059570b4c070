"""Which token comes next: the likeliest, or one drawn as a pass's temperature, top_p and seed say.

Each row draws with a generator of its own, one number a step, so that its tokens do not depend on its batch-mates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from correction.passes import Sampling


def generator_of(sampling: Sampling) -> torch.Generator | None:
    """What a row draws with; None if it takes the likeliest tokens."""
    if not sampling.temperature:
        return None
    generator = torch.Generator()
    if sampling.seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(sampling.seed)


def choose(logprobs: Tensor, samplings: Sequence[Sampling], generators: Sequence[torch.Generator | None]) -> Tensor:
    """The next token of each row, (rows, vocabulary) -> (rows,)."""
    chosen = logprobs.argmax(-1)
    drawing = [row for row, generator in enumerate(generators) if generator is not None]
    if drawing:
        chosen[drawing] = _draw(
            logprobs[drawing].double(),
            [samplings[row] for row in drawing],
            [torch.rand((), generator=generators[row], dtype=torch.float64) for row in drawing],
        )
    return chosen


def _draw(logprobs: Tensor, samplings: Sequence[Sampling], numbers: Sequence[Tensor]) -> Tensor:
    """Where each row's number, from 0 to 1, falls in what temperature and top_p leave of its distribution."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logprobs.device).unsqueeze(-1)

    # From the likeliest down, so that no temperature is too low for the numbers.
    below = logprobs - logprobs.amax(-1, keepdim=True)
    weights = (below / column([sampling.temperature for sampling in samplings])).softmax(-1)
    if any(sampling.top_p < 1 for sampling in samplings):
        ranked, tokens = weights.sort(dim=-1, descending=True, stable=True)
        beyond = ranked.cumsum(-1) - ranked >= column([sampling.top_p for sampling in samplings])
        weights = weights.masked_fill(beyond.gather(-1, tokens.argsort(-1)), 0.0)
    mass = weights.cumsum(-1)
    drawn = torch.searchsorted(mass, torch.stack([*numbers]).to(mass).unsqueeze(-1) * mass[:, -1:], right=True)
    return drawn.squeeze(-1).clamp_max(mass.shape[-1] - 1)
