"""vLLM in this process (AsyncLLM), which brings its own scheduler and runs the model in processes of its own.

It is a guest here: it is imported when it starts and not before, it logs to standard error, and the environment is
given back as it was. All calls belong to one event loop.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from copy import copy
from functools import lru_cache
from itertools import count
from typing import Any

from correction.engines.vllm.backend import Asked, Generated, Token, Told
from correction.engines.vllm.in_flight import InFlight
from correction.engines.vllm.orphans import STARTER
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.models import LoadedModel
from correction.passes import Sampling

SHARE_ALONE, SHARE_BESIDE = 0.9, 0.5  # of a GPU, without and with the custom forward's weights on it
CPU_CACHE = 1 << 30  # bytes of keys and values


def engine_arguments(
    loaded: LoadedModel, *, on_cpu: bool, alone: bool, patches: bool, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """AsyncLLM's arguments for a model, whose weights may be left unloaded here.

    alone: the custom forward does not hold the weights beside it. patches: hopfix's plugin is switched on. given: an
    operator's own (tensor_parallel_size, kv_cache_memory_bytes, ...), which win.
    """
    # On a GPU vLLM takes this share of the device, weights included; on a CPU its KV cache has a size.
    memory: dict[str, Any] = {"gpu_memory_utilization": SHARE_ALONE if alone else SHARE_BESIDE}
    if on_cpu:
        # Run eagerly, vLLM 0.32 forgets the buffers between the stages of a pipeline.
        eager = (given or {}).get("pipeline_parallel_size", 1) == 1
        memory = {"kv_cache_memory_bytes": CPU_CACHE, "block_size": 32, "enforce_eager": eager}
    arguments = {
        "model": str(loaded.folder),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "max_model_len": -1,  # the most that the cache can hold for one pass
        "max_num_seqs": 64,
        "max_logprobs": -1,
        "generation_config": "vllm",  # the model's own may ask for penalties; greedy is greedy
        "skip_tokenizer_init": True,  # ids go in and ids come out
        # Trusted when it was loaded.
        "trust_remote_code": type(loaded.model).__module__.startswith("transformers_modules."),
        "use_tqdm_on_load": False,
        "enable_log_requests": False,
        "disable_log_stats": True,
        **memory,
        **(given or {}),
    }
    if patches:  # the plugin asks for it, and vLLM keeps compiled graphs with and without it apart
        arguments["additional_config"] = {**arguments.get("additional_config", {}), "hopfix": {}}
    return arguments


class LocalVLLM:
    """AsyncLLM with these engine arguments; `on_cpu` sets what a CPU needs and is not an argument."""

    restarts = 0

    def __init__(self, arguments: dict[str, Any], *, on_cpu: bool) -> None:
        self.arguments = arguments
        self.on_cpu = on_cpu
        self._engine: Any = None
        self._in_flight = InFlight()
        self._numbers = count()
        self._params = lru_cache(maxsize=64)(self._sampling)  # vLLM checks each anew, at a cost that can be seen
        # One thread, so that a shutdown waits for a start that was given up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopfix-vllm")
        self._starting: Future[None] | None = None
        self._closed = False

    async def start(self) -> int:
        """Loads the model into vLLM's processes, about half a minute; the event loop stays free."""
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        self._starting = self._thread.submit(self._launch)
        await asyncio.wrap_future(self._starting)
        return int(self._engine.model_config.max_model_len)

    @property
    def trouble(self) -> str | None:
        if self._closed:
            return "the engine was closed"
        return "vLLM died" if self._engine is not None and self._engine.errored else None

    async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
        if self._engine is None or self._closed:
            raise EngineUnavailable(f"the engine 'vllm' is {'closed' if self._closed else 'not started'}")
        return await self._in_flight.run(self._generate(asked, told))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._in_flight.end()  # vLLM would leave them waiting for ever
        await self._give_up_starting()
        if handler := getattr(self._engine, "output_handler", None):
            handler.cancel()  # it would log the shutdown as a crash
        del handler  # it holds on to vLLM
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut_down)
        self._thread.shutdown(wait=False)
        await asyncio.sleep(0)  # for what it has left in the loop
        gc.collect()  # at the interpreter's exit its destructor would trip over modules that are gone by then

    async def _give_up_starting(self) -> None:
        """A start takes up to minutes, and ends at once if the process that it waits for does."""
        while self._starting is not None and not self._starting.done():
            for process in multiprocessing.active_children():
                if process.name.startswith("EngineCore"):
                    process.kill()
            await asyncio.sleep(0.1)
        self._starting = None  # its error would keep vLLM alive

    def _launch(self) -> None:
        if self._engine is not None:
            return
        with _environment(self._on_cpu_settings()):
            try:
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM
            except ImportError as error:
                hint = "run 'make vllm', or pip install 'hopfix[vllm]' on a GPU machine"
                raise EngineUnavailable(f"vLLM cannot be imported ({error})", hint=hint) from error
            try:
                self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**self.arguments))
            except Exception as error:  # whatever kept it from starting
                raise EngineUnavailable("vLLM did not start", hint=repr(error)) from error

    def _on_cpu_settings(self) -> dict[str, str]:
        if not self.on_cpu:
            return {}
        # Compiling takes longer than it gives back; where vLLM must not run eagerly it is needed.
        settings = {"TORCH_COMPILE_DISABLE": "1"} if self.arguments.get("enforce_eager") else {}
        ranks = self.arguments.get("tensor_parallel_size", 1) * self.arguments.get("pipeline_parallel_size", 1)
        if ranks > 1:  # vLLM shares the cores out only where each rank has a memory node of its own
            cores = sorted(os.sched_getaffinity(0))
            shares = (cores[rank::ranks] or [cores[rank % len(cores)]] for rank in range(ranks))
            settings["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, share)) for share in shares)
        return settings

    def _shut_down(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown(timeout=20)

    def _sampling(self, sampling: Sampling, stop: frozenset[int], listened: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        vocabulary, read = self._engine.model_config.get_vocab_size(), sampling.prompt_logprobs
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            max_tokens=sampling.max_tokens,
            logprobs=min(sampling.top_logprobs, vocabulary),
            prompt_logprobs=None if read is None else min(read, vocabulary),
            stop_token_ids=sorted(stop),
            ignore_eos=True,  # the stop tokens above say it all
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if listened else RequestOutputKind.FINAL_ONLY,
            skip_clone=True,  # each request has a copy already
        )

    async def _generate(self, asked: Asked, told: Told | None) -> Generated:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        engine = self._engine
        output: Any = None
        report: Any = None
        tokens: list[Token] = []
        prompt: list[Any] = []
        reason = "it was aborted"
        try:
            params = copy(self._params(asked.sampling, asked.stop, told is not None))
            params.extra_args = None if asked.sites is None else {"hopfix": asked.sites}
            given = engine.generate(tokens_input([*asked.prompt]), params, str(next(self._numbers)))
            async with aclosing(given):  # whatever ends this, vLLM ends the request
                async for answer in given:
                    output, report = answer.outputs[0], (answer.kv_transfer_params or {}).get("hopfix")
                    prompt += filter(None, answer.prompt_logprobs or ())  # nothing predicts the first token
                    new = [_token(*pair) for pair in zip(output.token_ids, output.logprobs, strict=True)]
                    tokens += new
                    if told:
                        for token in new:
                            told(token)
        except (EngineDeadError, EngineGenerateError) as error:
            reason = repr(error)  # and not the error: its traceback would keep the engine alive
        except (VLLMClientError, ValueError) as error:
            raise InvalidInput("vLLM refuses the pass", hint=repr(error), param="prompt") from error
        if report and report.get("error"):
            raise PatchNotApplied(str(report["error"]))
        if output is None or output.finish_reason not in ("stop", "length"):
            raise EngineUnavailable("vLLM did not finish the pass", hint=reason)
        read = tuple(map(_token, asked.prompt[1:], prompt))
        return Generated(tuple(tokens), output.finish_reason == "stop", read, report)


def _token(token: int, step: Mapping[int, Any]) -> Token:
    """vLLM's log-probabilities are the raw model's unless an operator asks for others (`logprobs_mode`)."""
    top = sorted(((int(t), float(one.logprob)) for t, one in step.items()), key=lambda item: -item[1])
    return Token(int(token), float(step[token].logprob), tuple(top))


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """vLLM's settings, for it and its processes. They, and what it sets itself (LD_PRELOAD), are gone afterwards."""
    before = dict(os.environ)
    # Its warnings are about the settings chosen here; torch has threads already, and a fork could deadlock.
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    settings = {"VLLM_LOGGING_STREAM": "ext://sys.stderr", "HF_HUB_OFFLINE": "1"}  # stdout is for data
    settings[STARTER] = str(os.getpid())
    os.environ.update({**defaults, **more, **before, **settings})
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
