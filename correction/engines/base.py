"""What an engine is: one asynchronous call that runs a pass, and what it can do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch

from correction.grid import Grid, GridPass
from correction.passes import Heard, Pass, PassResult, Relay


class Engine(Protocol):
    """Runs passes; what arrives together is batched inside. Cancelling the call abandons the pass.

    restarts: how often what it runs on died and was started again. standins: how many passes another engine ran in its
    place, by reason.
    """

    name: str
    can_patch: bool
    context: int

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in words for an operator."""
        ...

    @property
    def down(self) -> bool:
        """Whether the trouble keeps it from running passes; another try may help."""
        ...

    @property
    def restarts(self) -> int: ...

    @property
    def standins(self) -> Mapping[str, int]: ...

    async def start(self) -> None:
        """Makes the engine ready; raises `EngineUnavailable` if it cannot be."""
        ...

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        """Runs one pass; `heard` is told of each generated token as it comes, the one that stops it left out.

        Raises `InvalidInput` for one that the model cannot run, `PatchNotApplied` if a patch failed, and
        `EngineUnavailable` if the engine cannot run anything now.
        """
        ...

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        """Runs every cell of a layer grid; raises as `run` does. `on_done` is told how many prompts were finished."""
        ...

    async def close(self) -> None:
        """Frees what the engine holds; passes in flight fail with `EngineUnavailable`."""
        ...


@runtime_checkable
class Relaying(Protocol):
    """An engine that runs a pass and what takes it up at one go; the others are asked for one after the other."""

    async def relay(self, first: Pass, then: Relay) -> tuple[PassResult, PassResult | None]:
        """Both results, None for a second pass that there is none of; raises as `run` does."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """An engine that is to be told which beginnings its prompts share; vLLM finds out by itself."""

    def share(self, beginnings: Sequence[tuple[int, ...]]) -> None: ...


async def grid_of_passes(engine: Engine, request: GridPass) -> Grid:
    """A layer grid as one patched pass a cell: any engine that patches can run it, and any architecture."""
    sizes = (len(request.prompts), request.states.shape[1], len(request.target_layers), request.max_tokens)
    grid = Grid(torch.full(sizes, -1), torch.zeros(sizes), torch.full(sizes, torch.nan))
    for n in range(sizes[0]):
        results = await asyncio.gather(*(engine.run(cell) for cell in request.of([n]).passes()))
        for cell, result in enumerate(results):
            source, target = divmod(cell, sizes[2])
            said = len(result.tokens)
            grid.tokens[n, source, target, :said] = torch.tensor(result.tokens)
            grid.logprobs[n, source, target, :said] = torch.tensor(result.logprobs)
    return grid
