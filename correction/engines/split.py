"""Two engines as one: vLLM runs the plain passes, the custom forward those that read or overwrite hidden states.

The custom forward can run any pass, so it also stands in for vLLM when that fails. Each result names the engine that
gave it; only the result does, since which engine it will be is not known before the pass has run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from correction.engines.base import Engine
from correction.errors import EngineUnavailable
from correction.grid import Grid, GridPass
from correction.passes import Pass, PassResult

logger = logging.getLogger(__name__)


class SplitEngine:
    """Plain passes that fit into its context go to `vllm`, all others to `hf`, which has the same model."""

    name = "hf+vllm"
    can_patch = True

    def __init__(self, hf: Engine, vllm: Engine) -> None:
        self.hf = hf
        self.vllm = vllm
        self.context = hf.context
        self._closed = False
        self._failing = False

    async def start(self) -> None:
        """Starts both; raises `EngineUnavailable` if vLLM cannot start, as that is what was asked for."""
        await self.hf.start()
        await self.vllm.start()

    async def run(self, request: Pass) -> PassResult:
        engine = self._first(request)
        if engine is self.hf:
            return await self.hf.run(request)
        try:
            result = await self.vllm.run(request)
        except EngineUnavailable as error:
            if self._closed:
                raise
            if not self._failing:  # once, not for every pass of a dead engine
                logger.warning("vLLM failed, the custom forward runs its passes: %s", str(error))
            self._failing = True
            return await self.hf.run(request)
        self._failing = False
        return result

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        return await self.hf.grid(request, on_done)

    async def close(self) -> None:
        self._closed = True
        try:
            await self.hf.close()
        finally:
            await self.vllm.close()

    def _first(self, request: Pass) -> Engine:
        fits = len(request.prompt) + request.sampling.max_tokens <= self.vllm.context
        return self.vllm if request.plain and fits else self.hf
