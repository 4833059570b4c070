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
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.branches import Branches, check_branches
from correction.errors import InvalidInput
from correction.hooks import exclusive
from correction.mappings import IDENTITY, Mapping, check_finite
from correction.passes import ModelShape, Pass, Patch, Sampling, check_pass
from correction.trunk import Trunk

MOST_TOKENS = 2048  # of branches in one forward: more gain nothing on a CPU and cost memory
MOST_KEPT_TOKENS = 512  # where more than one token is generated: then every block keeps their keys and values
MOST_TRUNK_TOKENS = 16384  # of the prompts themselves
MOST_BRANCH_TOKENS = 64  # of one prompt side by side: each attends over all of them, masked or not


@dataclass(frozen=True, eq=False)
class GridPass:
    """Each of a prompt's states, alone, through the mapping to its position at each target layer; then generation.

    prompts: token ids. positions: i* of each. states: (prompts, states, width), one a source layer in a layer grid.
    origin: the parts of the model that the states come from; None is the model they are written into.
    """

    prompts: Sequence[tuple[int, ...]]
    positions: Sequence[int]
    states: Tensor
    target_layers: Sequence[int]
    mapping: Mapping = IDENTITY
    origin: Blocks | None = None
    max_tokens: int = 1

    def of(self, rows: Sequence[int]) -> GridPass:
        """The same for some of the prompts."""
        return replace(
            self,
            prompts=[self.prompts[n] for n in rows],
            positions=[self.positions[n] for n in rows],
            states=self.states[list(rows)],
        )

    def passes(self) -> list[Pass]:
        """The cells as passes, in the order (prompt, state, target layer): what a grid is short for."""
        return [
            Pass(
                prompt,
                patches=(Patch(layer, position, state, self.mapping, self.origin),),
                sampling=Sampling(self.max_tokens, 0),
            )
            for prompt, position, states in zip(self.prompts, self.positions, self.states, strict=True)
            for state in states
            for layer in self.target_layers
        ]


@dataclass(frozen=True, eq=False)
class Grid:
    """What every cell said. Dimensions: (prompt, state, target layer, generated token).

    tokens: ids, -1 from the stop on. logprobs: of these tokens. margins: how much less probable (in logarithm) the
    second best was: how near the cell is to a tie; NaN where that is not known.
    """

    tokens: Tensor
    logprobs: Tensor
    margins: Tensor


def check_grid(request: GridPass, shape: ModelShape, context: int) -> None:
    """Raises `InvalidInput` for a grid with a cell that could not be run as a pass."""
    if not request.prompts or not request.target_layers or not request.states.shape[1]:
        raise InvalidInput("the grid is empty", hint="give at least one prompt, one state and one target layer")
    if not len(request.prompts) == len(request.positions) == len(request.states):
        raise InvalidInput("a grid needs a position and states for each prompt", param="positions")
    if request.max_tokens < 1:
        raise InvalidInput("a grid generates at least one token", hint="raise max_tokens", param="max_tokens")
    check_finite(request.states)
    for cell in replace(request, states=request.states[:, :1]).passes():
        check_pass(cell, shape, context)


def tiles(request: GridPass) -> list[list[int]]:
    """Which prompts to run together: prompts whose tails are alike, as many as a forward has room for."""
    tails = [_tail(request, n) for n in range(len(request.prompts))]
    order = sorted(range(len(tails)), key=lambda n: (tails[n], len(request.prompts[n])))
    room = MOST_TOKENS if request.max_tokens == 1 else MOST_KEPT_TOKENS
    made: list[list[int]] = []
    for n in order:
        count, length = (len(made[-1]) + 1 if made else 1), len(request.prompts[n]) + request.max_tokens
        longest = max([length, *(len(request.prompts[m]) + request.max_tokens for m in (made[-1] if made else []))])
        full = count * tails[n] * _across(request, tails[n]) > room or count * longest > MOST_TRUNK_TOKENS
        if not made or full:
            made.append([])
        made[-1].append(n)
    return made


def _tail(request: GridPass, n: int) -> int:
    length = len(request.prompts[n])
    return length - request.positions[n] % length


def _across(request: GridPass, tail: int) -> int:
    return max(1, min(request.states.shape[1], MOST_BRANCH_TOKENS // tail))


@torch.inference_mode()
def run_tile(model: PreTrainedModel, parts: Blocks, request: GridPass, *, stop: frozenset[int], pad: int) -> Grid:
    """All cells of a few prompts in one batch. Raises `UnsupportedModel` where branches are not possible."""
    with exclusive(model):
        check_branches(model, parts, pad)
        return _run_tile(model, parts, request, stop, pad)


def _run_tile(model: PreTrainedModel, parts: Blocks, request: GridPass, stop: frozenset[int], pad: int) -> Grid:
    positions = [p % len(prompt) for p, prompt in zip(request.positions, request.prompts, strict=True)]
    trunk = Trunk.of(model, parts, request.prompts, positions, request.max_tokens, pad)
    sizes = (len(request.prompts), request.states.shape[1], len(request.target_layers), request.max_tokens)
    grid = Grid(torch.full(sizes, -1), torch.zeros(sizes), torch.full(sizes, torch.nan))
    across = _across(request, trunk.tail)
    for first in range(0, sizes[1], across):
        chosen = slice(first, first + across)
        branches = Branches(trunk, request.states[:, chosen], request.mapping, request.origin or parts)
        for column, layer in enumerate(request.target_layers):
            tokens, logprobs, margins = branches.generate(layer, stop)
            steps = tokens.shape[-1]
            grid.tokens[:, chosen, column, :steps] = tokens.cpu()
            grid.logprobs[:, chosen, column, :steps] = logprobs.cpu()
            grid.margins[:, chosen, column, :steps] = margins.cpu()
    return grid


def run_grid(
    model: PreTrainedModel,
    parts: Blocks,
    request: GridPass,
    *,
    stop: frozenset[int] = frozenset(),
    pad: int = 0,
    on_done: Callable[[int], None] = lambda prompts: None,
) -> Grid:
    """The whole grid, tile by tile; `on_done` is told how many prompts were finished."""
    made = tiles(request)
    grids = []
    for rows in made:
        grids.append(run_tile(model, parts, request.of(rows), stop=stop, pad=pad))
        on_done(len(rows))
    return joined(made, grids)


def joined(made: Sequence[Sequence[int]], grids: Sequence[Grid]) -> Grid:
    """The tiles' results in the order of the prompts."""
    order = torch.tensor([n for rows in made for n in rows]).argsort()
    return Grid(
        *(torch.cat([getattr(grid, name) for grid in grids])[order] for name in ("tokens", "logprobs", "margins"))
    )
