"""vLLM in this process (AsyncLLM), which brings its own scheduler and runs the model in processes of its own.

It is a guest here: it is imported when it starts and not before, it logs to standard error, and the environment is
given back as it was. All calls belong to one event loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from correction.engines.vllm.backend import Asked, Generated
from correction.errors import EngineUnavailable, InvalidInput


class LocalVLLM:
    """AsyncLLM with these engine arguments; `on_cpu` sets what a CPU needs and is not an argument."""

    def __init__(self, arguments: dict[str, Any], *, on_cpu: bool) -> None:
        self.arguments = arguments
        self.on_cpu = on_cpu
        self._engine: Any = None
        self._running: set[asyncio.Task[Generated]] = set()
        self._numbers = count()
        # One thread, so that a shutdown waits for a start that was given up.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopfix-vllm")
        self._closed = False

    async def start(self) -> int:
        """Loads the model into vLLM's processes, about half a minute; the event loop stays free."""
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._launch)
        return int(self._engine.model_config.max_model_len)

    @property
    def dead(self) -> str | None:
        if self._closed:
            return "the engine was closed"
        return "vLLM died" if self._engine is not None and self._engine.errored else None

    async def generate(self, asked: Asked) -> Generated:
        if self._engine is None or self._closed:
            raise EngineUnavailable(f"the engine 'vllm' is {'closed' if self._closed else 'not started'}")
        task = asyncio.create_task(self._generate(asked))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise EngineUnavailable("the engine was closed") from None
            raise

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
        with _environment(self.on_cpu):
            try:
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM
            except ImportError as error:
                hint = "run 'make vllm', or pip install 'hopfix[vllm]' on a GPU machine"
                raise EngineUnavailable(f"vLLM cannot be imported ({error})", hint=hint) from error
            try:
                self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**self.arguments))
            except (RuntimeError, ValueError, OSError) as error:
                raise EngineUnavailable("vLLM did not start", hint=repr(error)) from error

    def _shut_down(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown(timeout=20)

    async def _generate(self, asked: Asked) -> Generated:
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        engine = self._engine
        params = SamplingParams(
            temperature=0.0,
            max_tokens=asked.max_tokens,
            logprobs=min(asked.top_logprobs, engine.model_config.get_vocab_size()),
            stop_token_ids=sorted(asked.stop),
            ignore_eos=True,  # the stop tokens above say it all
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args=None if asked.sites is None else {"hopfix": asked.sites},
        )
        output: Any = None
        report: Any = None
        reason = "it was aborted"
        try:
            async for answer in engine.generate(tokens_input([*asked.prompt]), params, str(next(self._numbers))):
                output, report = answer.outputs[0], answer.kv_transfer_params
        except (EngineDeadError, EngineGenerateError) as error:
            reason = repr(error)  # and not the error: its traceback would keep the engine alive
        except (VLLMClientError, ValueError) as error:
            raise InvalidInput("vLLM refuses the pass", hint=repr(error), param="prompt") from error
        if output is None or output.finish_reason not in ("stop", "length"):
            raise EngineUnavailable("vLLM did not finish the pass", hint=reason)
        tokens = tuple(int(token) for token in output.token_ids)
        return Generated(
            tokens,
            tuple(float(step[token].logprob) for token, step in zip(tokens, output.logprobs, strict=True)),
            tuple(
                tuple(sorted(((t, float(one.logprob)) for t, one in step.items()), key=lambda item: -item[1]))
                for step in output.logprobs
            ),
            output.finish_reason == "stop",
            (report or {}).get("hopfix"),
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
