"""Passes on vLLM, whose results follow the conventions of the custom forward: either engine can stand in for the other.

It turns a pass into a request and what comes back into a result. Where vLLM runs is its backend's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from correction.engines.vllm.backend import Asked, Backend, Generated
from correction.engines.vllm.local import LocalVLLM
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.grid import Grid, GridPass
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, check_pass


class VLLMEngine:
    """Plain passes on vLLM, with the tokenizer and the stop rule of `loaded`.

    `kv_cache_gib` is the memory of the KV cache on a CPU; on a GPU vLLM takes `gpu_memory_utilization` of the device,
    weights included. `context` shrinks at the start to what the cache can hold for one pass.
    """

    name = "vllm"
    can_patch = False

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        kv_cache_gib: int = 1,
        gpu_memory_utilization: float = 0.5,
        max_rows: int = 64,
    ) -> None:
        self.loaded = loaded
        self.context = loaded.context
        on_cpu = loaded.model.device.type == "cpu"
        memory: dict[str, Any] = {"gpu_memory_utilization": gpu_memory_utilization}
        if on_cpu:
            memory = {"kv_cache_memory_bytes": kv_cache_gib << 30, "block_size": 32, "enforce_eager": True}
        self._backend: Backend = LocalVLLM(
            {
                "model": str(loaded.folder),
                "dtype": str(loaded.model.dtype).removeprefix("torch."),
                "max_model_len": -1,  # the most that the cache can hold for one pass
                "max_num_seqs": max_rows,
                "max_logprobs": -1,
                "generation_config": "vllm",  # the model's own may ask for penalties; greedy is greedy
                "skip_tokenizer_init": True,  # ids go in and ids come out
                # Trusted when it was loaded.
                "trust_remote_code": type(loaded.model).__module__.startswith("transformers_modules."),
                "use_tqdm_on_load": False,
                "enable_log_requests": False,
                "disable_log_stats": True,
                **memory,
            },
            on_cpu=on_cpu,
        )
        self._started = False
        self._closed = False
        self._decode = lru_cache(maxsize=1 << 16)(lambda token: loaded.decode([token]))

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
