"""Passes on vLLM, whose results follow the conventions of the custom forward: either engine can stand in for the other.

It turns a pass into a request and what comes back into a result. Where vLLM runs is its backend's business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from correction.engines.vllm.backend import Asked, Backend, Generated
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.grid import Grid, GridPass
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, check_pass


class VLLMEngine:
    """Passes on the vLLM that `backend` is, with the tokenizer and the stop rule of `loaded`.

    `patches` says that hopfix's plugin is active there. `context` shrinks at the start to what vLLM has room for.
    """

    name = "vllm"

    def __init__(self, loaded: LoadedModel, backend: Backend, *, patches: bool = False) -> None:
        self.loaded = loaded
        self.can_patch = patches
        self.context = loaded.context
        self.standins: Counter[str] = Counter()  # nobody stands in here
        self._backend = backend
        self._started = False
        self._closed = False
        self._decode = lru_cache(maxsize=1 << 16)(lambda token: loaded.decode([token]))

    @property
    def trouble(self) -> str | None:
        return self._backend.trouble

    @property
    def down(self) -> bool:
        return self.trouble is not None

    @property
    def restarts(self) -> int:
        return self._backend.restarts

    async def start(self) -> None:
        """Raises `EngineUnavailable` if vLLM cannot be had."""
        self.context = min(self.context, await self._backend.start())
        self._started = True

    async def run(self, request: Pass) -> PassResult:
        check_pass(request, self.loaded.shape, self.context)
        if request.patches:
            raise PatchNotApplied("the engine 'vllm' cannot patch", hint="use the engine hf or hf+vllm")
        if request.captures:
            raise InvalidInput("the engine 'vllm' cannot read hidden states", hint="use the engine hf or hf+vllm")
        if request.exit is not None or request.lens is not None:
            raise InvalidInput("the engine 'vllm' has no exits or lenses", hint="use the engine hf or hf+vllm")
        if not self._started or self._closed:
            raise EngineUnavailable(f"the engine 'vllm' is {'closed' if self._closed else 'not started'}")
        sampling = request.sampling
        asked = Asked(
            request.prompt,
            max(1, sampling.max_tokens),  # vLLM knows no pass without a token
            sampling.top_logprobs,
            self.loaded.stop_tokens,
        )
        return self._result(request, await self._backend.generate(asked))

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        raise PatchNotApplied("the engine 'vllm' cannot patch", hint="use the engine hf or hf+vllm")

    async def close(self) -> None:
        self._closed = True
        await self._backend.close()

    def _result(self, request: Pass, given: Generated) -> PassResult:
        sampling = request.sampling
        stopped = given.stopped and sampling.max_tokens > 0
        tokens = given.tokens[: -1 if stopped else sampling.max_tokens]
        return PassResult(
            tokens=tokens,
            text=self.loaded.decode(tokens),
            logprobs=given.logprobs[: len(tokens)],
            stop_logprob=given.logprobs[-1] if stopped else None,
            steps=tuple(
                tuple(Alternative(t, self._decode(t), math.exp(logprob)) for t, logprob in step)
                for step in (step[: sampling.top_logprobs] for step in given.steps)
            ),
            states=(),
            patched=0,
            prompt_tokens=len(request.prompt),
            finish_reason="stop" if stopped else "length",
            engine=self.name,
        )
