"""vLLM in this process, for plain passes: nothing is read from the model and nothing is overwritten in it.

vLLM brings its own scheduler and runs the model in processes of its own. It is a guest here: it is imported when the
engine starts and not before, it logs to standard error, and the environment is given back as it was. Its results
follow the conventions of the custom forward, so that either engine can stand in for the other. All calls belong to
one event loop.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.grid import Grid, GridPass
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, check_pass


class VLLMEngine:
    """Plain passes on vLLM, with the weights, the tokenizer and the stop rule of `loaded`.

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
        self.kv_cache_gib = kv_cache_gib
        self.gpu_memory_utilization = gpu_memory_utilization
        self.max_rows = max_rows
        self._engine: Any = None
        self._running: set[asyncio.Task[PassResult]] = set()
        self._numbers = count()
        # One thread, so that a shutdown waits for a start that was given up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopfix-vllm")
        self._closed = False

    async def start(self) -> None:
        """Loads the model into vLLM's processes, about half a minute; the event loop stays free."""
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._launch)

    async def run(self, request: Pass) -> PassResult:
        check_pass(request, self.loaded.shape, self.context)
        if request.patches:
            raise PatchNotApplied("the engine 'vllm' cannot patch", hint="use the engine hf or hf+vllm")
        if request.captures:
            raise InvalidInput("the engine 'vllm' cannot read hidden states", hint="use the engine hf or hf+vllm")
        if request.exit is not None or request.lens is not None:
            raise InvalidInput("the engine 'vllm' has no exits or lenses", hint="use the engine hf or hf+vllm")
        if self._engine is None or self._closed:
            raise EngineUnavailable(f"the engine 'vllm' is {'closed' if self._closed else 'not started'}")
        task = asyncio.create_task(self._generate(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise EngineUnavailable("the engine was closed") from None
            raise

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        raise PatchNotApplied("the engine 'vllm' cannot patch", hint="use the engine hf or hf+vllm")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        running = [*self._running]  # vLLM would leave them waiting for ever
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if handler := getattr(self._engine, "output_handler", None):
            handler.cancel()  # it would log the shutdown as a crash
        del running, handler  # both hold on to vLLM
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut_down)
        self._thread.shutdown(wait=False)
        await asyncio.sleep(0)  # for what it has left in the loop
        gc.collect()  # at the interpreter's exit its destructor would trip over modules that are gone by then

    def _launch(self) -> None:
        if self._engine is not None:
            return
        model = self.loaded.model
        on_cpu = model.device.type == "cpu"
        remote_code = type(model).__module__.startswith("transformers_modules.")  # trusted when it was loaded
        memory: dict[str, Any] = {"gpu_memory_utilization": self.gpu_memory_utilization}
        if on_cpu:
            memory = {"kv_cache_memory_bytes": self.kv_cache_gib << 30, "block_size": 32, "enforce_eager": True}
        with _environment(on_cpu):
            try:
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM
            except ImportError as error:
                hint = "run 'make vllm', or pip install 'hopfix[vllm]' on a GPU machine"
                raise EngineUnavailable(f"vLLM cannot be imported ({error})", hint=hint) from error
            try:
                arguments = AsyncEngineArgs(
                    model=str(self.loaded.folder),
                    dtype=str(model.dtype).removeprefix("torch."),
                    max_model_len=-1,  # the most that the cache can hold for one pass
                    max_num_seqs=self.max_rows,
                    max_logprobs=-1,
                    generation_config="vllm",  # the model's own may ask for penalties; greedy is greedy
                    skip_tokenizer_init=True,  # ids go in and ids come out
                    trust_remote_code=remote_code,
                    use_tqdm_on_load=False,
                    enable_log_requests=False,
                    disable_log_stats=True,
                    **memory,
                )
                self._engine = AsyncLLM.from_engine_args(arguments)
            except (RuntimeError, ValueError, OSError) as error:
                raise EngineUnavailable("vLLM did not start", hint=repr(error)) from error
        self.context = min(self.context, int(self._engine.model_config.max_model_len))

    def _shut_down(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown(timeout=20)

    async def _generate(self, request: Pass) -> PassResult:
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        engine, sampling = self._engine, request.sampling
        params = SamplingParams(
            temperature=0.0,
            max_tokens=max(1, sampling.max_tokens),  # vLLM knows no pass without a token
            logprobs=min(sampling.top_logprobs, engine.model_config.get_vocab_size()),
            stop_token_ids=sorted(self.loaded.stop_tokens),
            ignore_eos=True,  # the stop tokens above say it all
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output: Any = None
        reason = "it was aborted"
        try:
            async for answer in engine.generate(tokens_input([*request.prompt]), params, str(next(self._numbers))):
                output = answer.outputs[0]
        except (EngineDeadError, EngineGenerateError) as error:
            reason = repr(error)  # and not the error: its traceback would keep the engine alive
        except (VLLMClientError, ValueError) as error:
            raise InvalidInput("vLLM refuses the pass", hint=repr(error), param="prompt") from error
        if output is None or output.finish_reason not in ("stop", "length"):
            raise EngineUnavailable("vLLM did not finish the pass", hint=reason)
        return self._result(request, output)

    def _result(self, request: Pass, output: Any) -> PassResult:
        decode, sampling = self.loaded.decode, request.sampling
        stopped = output.finish_reason == "stop" and sampling.max_tokens > 0
        tokens = [int(token) for token in output.token_ids][: -1 if stopped else sampling.max_tokens]
        ranked = (sorted(step.items(), key=lambda item: -item[1].logprob) for step in output.logprobs)
        return PassResult(
            tokens=tuple(tokens),
            text=decode(tokens),
            logprobs=tuple(float(step[token].logprob) for token, step in zip(tokens, output.logprobs, strict=False)),
            stop_logprob=float(output.logprobs[-1][output.token_ids[-1]].logprob) if stopped else None,
            steps=tuple(
                tuple(Alternative(t, decode([t]), math.exp(it.logprob)) for t, it in step[: sampling.top_logprobs])
                for step in ranked
            ),
            states=(),
            patched=0,
            prompt_tokens=len(request.prompt),
            finish_reason="stop" if stopped else "length",
            engine=self.name,
        )


@contextmanager
def _environment(on_cpu: bool) -> Iterator[None]:
    """vLLM's settings, for it and its processes. They, and what it sets itself (LD_PRELOAD), are gone afterwards."""
    before = dict(os.environ)
    # Its warnings are about the settings chosen here; torch has threads already, and a fork could deadlock.
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    if on_cpu:
        defaults["TORCH_COMPILE_DISABLE"] = "1"  # compiling takes longer than it gives back
    settings = {"VLLM_LOGGING_STREAM": "ext://sys.stderr", "HF_HUB_OFFLINE": "1"}  # stdout is for data
    os.environ.update({**defaults, **before, **settings})
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
