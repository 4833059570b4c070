"""What an engine is: one asynchronous call that runs a pass, and what it can do."""

from __future__ import annotations

from typing import Protocol

from correction.passes import Pass, PassResult


class Engine(Protocol):
    """Runs passes; what arrives together is batched inside. Cancelling the call abandons the pass."""

    name: str
    can_patch: bool
    context: int

    async def start(self) -> None:
        """Makes the engine ready; raises `EngineUnavailable` if it cannot be."""
        ...

    async def run(self, request: Pass) -> PassResult:
        """Runs one pass.

        Raises `InvalidInput` for one that the model cannot run, `PatchNotApplied` if a patch failed, and
        `EngineUnavailable` if the engine cannot run anything now.
        """
        ...

    async def close(self) -> None:
        """Frees what the engine holds; passes in flight fail with `EngineUnavailable`."""
        ...
