"""The layer grid, fast: many source states into many layers of one target prompt, each cell the same as a pass alone.

A patch at (layer l*, position i*) changes nothing at positions before i* and nothing at layers up to l* elsewhere. So
each target prompt runs once in full (its *trunk*); a cell then enters the model's own forward at layer l* with the
clean states of the s tokens from i* on, the patched one among them, and attends to the trunk's keys and values before
i*. The cells of a prompt are *branches* side by side in one row, kept apart by the attention mask: the trunk is neither
computed nor copied for them. L source layers into L target layers cost L^2 (L+1)/2 x s layer-tokens a prompt beside the
trunk, against L^3 T for a forward a cell.

No block, mask, rotary or ALiBi code is written here. The model's own forward is asked what its blocks would receive for
the prompt with everything that may be generated; a branch token gets the rows and columns of that mask (and ALiBi bias)
that belong to its place in the prompt. A no-op patch is run first: an architecture for which this does not hold is
refused (`UnsupportedModel`), and `correction.forward` remains for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.branches import Branches, Trunk
from correction.mappings import IDENTITY, Mapping, check_finite

MOST_TOKENS = 2048  # of branches in one forward: more gain nothing on a CPU and cost memory
MOST_BRANCHES = 64  # tokens of one prompt's branches side by side: each attends over all of them, masked or not


@dataclass(frozen=True, eq=False)
class Grid:
    """What every cell said. Dimensions: (question, source state, target layer, generated token).

    tokens: ids, -1 after the stop. logprobs: of these tokens. margins: how much less probable (in logarithm) the second
    best was: how near the cell is to a tie.
    """

    tokens: Tensor
    logprobs: Tensor
    margins: Tensor


@torch.inference_mode()
def run_grid(
    model: PreTrainedModel,
    parts: Blocks,
    prompts: Sequence[Sequence[int]],
    positions: Sequence[int],
    states: Tensor,
    target_layers: Sequence[int],
    mapping: Mapping = IDENTITY,
    *,
    origin: Blocks | None = None,
    max_tokens: int = 1,
    stop: frozenset[int] = frozenset(),
    pad: int = 0,
    on_done: Callable[[int], None] = lambda cells: None,
) -> Grid:
    """Patches each of a prompt's states (questions, states, width) at its position into each target layer, alone.

    prompts: token ids. positions: i* of each prompt. on_done is told how many cells were finished.
    Raises `UnsupportedModel` for an architecture whose branches do not equal its own forward.
    """
    check_finite(states)
    sizes = (len(prompts), states.shape[1], len(target_layers), max_tokens)
    tokens = torch.full(sizes, -1)
    logprobs, margins = torch.zeros(sizes), torch.zeros(sizes)
    # Prompts whose tails have the same length share a batch: a branch is as long as the longest tail of its batch.
    order = sorted(range(len(prompts)), key=lambda n: (len(prompts[n]) - positions[n], len(prompts[n])))
    start = 0
    while start < len(order):
        tail = len(prompts[order[start]]) - positions[order[start]]
        across = max(1, min(states.shape[1], MOST_BRANCHES // tail))
        rows = order[start : start + max(1, MOST_TOKENS // (across * tail))]
        start += len(rows)
        trunk = Trunk.of(model, parts, [prompts[n] for n in rows], [positions[n] for n in rows], max_tokens, pad)
        for first in range(0, states.shape[1], across):
            chosen = slice(first, first + across)
            branches = Branches(trunk, states[rows, chosen], mapping, origin or parts)
            for column, layer in enumerate(target_layers):
                cells = branches.generate(layer, stop)
                for whole, part in zip((tokens, logprobs, margins), cells, strict=True):
                    whole[rows, chosen, column, : part.shape[-1]] = part.to(whole)
                on_done(len(rows) * (cells[0].shape[1]))
    return Grid(tokens, logprobs, margins)
