"""A vLLM of its own process that runs passes when it is told to, and says how long they took.

A process, because vLLM loads plugins once for all engines of one: only there can one engine be without hopfix's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from correction.engines.vllm import LocalVLLM, VLLMEngine, engine_arguments
from correction.errors import HopfixError
from correction.mappings import MAPPINGS
from correction.models import LoadedModel, load_model, resolve_device
from correction.passes import Capture, Pass, Patch, Sampling
from eval.bench.vllm.unstopped import Unstopped

WITHOUT, WITH = "without the plugin", "with the plugin"
KINDS = ("plain", "vocabulary", "identity", "capture")
STARTS_WITHIN = 300.0
PATCHED = -3  # the position: near the end of the prompt, as a bridge is


@dataclass(frozen=True)
class Job:
    """`passes` of one kind at once. `run` makes their first tokens new."""

    kind: str
    prompt_tokens: int
    generated_tokens: int
    passes: int
    run: int


def passes_of(job: Job, loaded: LoadedModel) -> list[Pass]:
    """Random tokens, the same for every kind and run but for the first one: vLLM's prefix cache helps nobody."""
    dice, shape = random.Random(0), loaded.shape
    states = torch.randn(job.passes, shape.width, generator=torch.Generator().manual_seed(job.run))
    first = (job.run * len(KINDS) + KINDS.index(job.kind)) % shape.vocabulary
    sampling, middle = Sampling(job.generated_tokens, 0), shape.depth // 2
    made = []
    for state in states:
        prompt = (first, *(dice.randrange(shape.vocabulary) for _ in range(job.prompt_tokens - 1)))
        captures = (Capture(middle, follow=True),) if job.kind == "capture" else ()
        patches = {
            "vocabulary": (Patch(0, PATCHED, state, MAPPINGS["vocabulary"]),),
            "identity": (Patch(middle, PATCHED, state),),
        }.get(job.kind, ())
        made.append(Pass(prompt, captures, patches, sampling))
    return made


class Process:
    """One vLLM; started when made, and `run` waits until it is ready. Closing it ends its processes."""

    def __init__(self, model: str, side: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.side = side
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, model, side), name=f"hopfix-bench {side}")
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Until vLLM is there."""
        if not self._connection.poll(STARTS_WITHIN):
            raise HopfixError(
                f"vLLM {self.side} did not start within {STARTS_WITHIN:g} seconds", hint="see what it logged above"
            )
        self._answer()

    def run(self, job: Job) -> dict[str, Any]:
        """seconds: that it took. generated: tokens. patched: patches. states: rows captured."""
        self._connection.send(job)
        return self._answer()

    def close(self) -> None:
        """It ends when nobody can ask it any more."""
        self._connection.close()
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> dict[str, Any]:
        try:
            given = self._connection.recv()
        except EOFError:
            raise HopfixError(
                f"vLLM {self.side} ended without an answer", hint="see what it logged above, or 'hopfix doctor'"
            ) from None
        if "error" in given:
            raise HopfixError(f"vLLM {self.side} failed", hint=given["error"])
        return given


@contextmanager
def started(model: str) -> Iterator[dict[str, Process]]:
    """Both by their names, ready; one after the other, since each start uses all cores."""
    made: dict[str, Process] = {}
    try:
        for side in (WITHOUT, WITH):
            made[side] = Process(model, side)
            made[side].wait()
        yield made
    finally:
        for process in made.values():
            process.close()


def _serve(connection: Connection, model: str, side: str) -> None:
    if side == WITHOUT:
        os.environ["VLLM_PLUGINS"] = ""
    else:
        os.environ.pop("VLLM_PLUGINS", None)
    try:
        asyncio.run(_work(connection, model, side == WITH))
    except EOFError:  # nobody asks any more
        return
    except Exception as error:
        connection.send({"error": str(error) or repr(error)})


async def _work(connection: Connection, model: str, plugin: bool) -> None:
    loaded = Unstopped.of(load_model(model, weights=False))
    on_cpu = resolve_device("auto").type == "cpu"
    share = {} if on_cpu else {"gpu_memory_utilization": 0.4}  # of which there are two
    arguments = engine_arguments(loaded, on_cpu=on_cpu, alone=True, patches=plugin, given=share)
    engine = VLLMEngine(loaded, LocalVLLM(arguments, on_cpu=on_cpu), patches=plugin)
    receive = partial(asyncio.get_running_loop().run_in_executor, None, connection.recv)
    try:
        await engine.start()
        connection.send({})
        while True:
            passes = passes_of(await receive(), loaded)
            began = time.perf_counter()
            results = await asyncio.gather(*(engine.run(request) for request in passes))
            seconds = time.perf_counter() - began
            connection.send(
                {
                    "seconds": seconds,
                    "generated": sum(len(result.tokens) for result in results),
                    "patched": sum(result.patched for result in results),
                    "states": sum(len(states) for result in results for states in result.states),
                }
            )
    finally:
        await engine.close()
