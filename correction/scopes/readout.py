"""The distribution over the next token after patched passes: what the methods that measure read, where others generate.

The last layer's state is captured after all patches, and the model's own norm and head are applied to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.inspector import Inspector
from correction.passes import Capture, Pass, Sampling

ROWS = 64  # distributions held at once: a vocabulary is up to 256,000 numbers a row


async def final_states(inspector: Inspector, model: str | None, passes: Sequence[Pass]) -> Tensor:
    """The last layer's state at the last token of each pass, after its patches: (passes, width)."""
    host = inspector.host(model)
    read = (Capture(host.loaded.parts.depth),)
    results = await asyncio.gather(
        *(host.engine.run(replace(p, captures=read, sampling=Sampling(0, 0))) for p in passes)
    )
    return torch.cat([result.states[0] for result in results])


@torch.inference_mode()
def distributions(parts: Blocks, states: Tensor) -> Iterator[Tensor]:
    """Log-probabilities of the next token for states of the last layer, (rows, vocabulary), some rows at a time."""
    for first in range(0, len(states), ROWS):
        yield parts.predict(states[first : first + ROWS]).float().log_softmax(-1)


@torch.inference_mode()
def best_tokens(parts: Blocks, states: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest token after each state and its log-probability, (rows,) both, on the CPU."""
    best = [given.max(-1) for given in distributions(parts, states)]
    return torch.cat([b.indices for b in best]).cpu(), torch.cat([b.values for b in best]).cpu()


@torch.inference_mode()
def logprobs_of(parts: Blocks, states: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of a given token after each state, (rows,), on the CPU."""
    read = [
        given.gather(-1, tokens[n * ROWS : (n + 1) * ROWS, None].to(given.device))[:, 0]
        for n, given in enumerate(distributions(parts, states))
    ]
    return torch.cat(read).cpu()
