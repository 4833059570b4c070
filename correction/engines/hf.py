"""The default engine: the custom forward in one worker thread, batching what waits.

A batch is what has arrived when the worker becomes free, oldest first, up to a number of rows and of padded tokens;
it has one exit layer, that which most passes wait for.
Everything that a question needs comes back as one `PassResult`; the event loop never waits for the model.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import torch

from correction.engines.base import grid_of_passes
from correction.errors import EngineUnavailable, HopfixError, UnsupportedModel
from correction.forward import Row, generate
from correction.grid import Grid, GridPass, check_grid, joined, run_tile, tiles
from correction.memory import out_of_memory
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, check_pass

MOST_PASSED_OVER = 4  # batches that the oldest pass lets others go first


@dataclass(eq=False)
class _Waiting:
    request: Pass
    future: asyncio.Future[PassResult]
    passed_over: int = 0

    @property
    def width(self) -> int:
        return len(self.request.prompt) + self.request.sampling.max_tokens


class HFEngine:
    """Patched and unpatched passes on a Hugging Face model, through the custom forward."""

    name = "hf"
    can_patch = True
    trouble: str | None = None  # it runs in this process: while that lives, it answers
    down = False
    restarts = 0
    standins: Mapping[str, int] = MappingProxyType({})

    def __init__(self, loaded: LoadedModel, *, max_rows: int = 64, max_tokens: int = 16384) -> None:
        self.loaded = loaded
        self.context = loaded.context
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.batch_sizes: deque[int] = deque(maxlen=1000)  # the latest, for those who look
        self.model_seconds = 0.0  # spent in the model so far
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopfix-hf")
        self._closed = False
        self._decode = lru_cache(maxsize=1 << 16)(lambda token: loaded.decode([token]))

    async def start(self) -> None:
        """Nothing to do: the model is loaded, the worker starts with the first pass."""

    async def run(self, request: Pass) -> PassResult:
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        check_pass(request, self.loaded.shape, self.context)
        entry = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await entry.future

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        """Tile by tile in the worker thread, so that passes are answered in between and a caller may give up."""
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        check_grid(request, self.loaded.shape, self.context)
        waiting, done, grids = tiles(request)[::-1], [], []
        branching = True
        while waiting:
            rows = waiting.pop()
            if self._closed:
                raise EngineUnavailable("the engine was closed")
            try:
                if branching:
                    grid = await asyncio.get_running_loop().run_in_executor(self._thread, self._tile, request, rows)
                else:
                    grid = await grid_of_passes(self, request.of(rows))
            except UnsupportedModel:
                if not branching:
                    raise
                branching = False
                waiting.append(rows)
                continue
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if len(rows) == 1:
                    raise _no_memory(error) from error
                waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                continue
            grids.append(grid)
            done.append(rows)
            on_done(len(rows))
        return joined(done, grids)

    def _tile(self, request: GridPass, rows: list[int]) -> Grid:
        loaded = self.loaded
        return run_tile(loaded.model, loaded.parts, request.of(rows), stop=loaded.stop_tokens, pad=loaded.pad_token)

    async def close(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
        while self._waiting:
            entry = self._waiting.popleft()
            if not entry.future.done():
                entry.future.set_exception(EngineUnavailable("the engine was closed"))
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)  # let everything that is being asked right now join the batch
            batch = self._next_batch()
            if not batch:
                return
            await self._run_batch(loop, batch)

    async def _run_batch(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        self.batch_sizes.append(len(batch))
        retry: list[list[_Waiting]] = []  # after the handlers: they keep alive what failed
        try:
            rows = await loop.run_in_executor(self._thread, self._generate, batch)
        except HopfixError as error:
            # One bad row (a state that is not finite, say) must not spoil its batch-mates.
            if len(batch) > 1:
                retry = [[entry] for entry in batch]
            else:
                _fail(batch, error)
        except asyncio.CancelledError:
            _fail(batch, EngineUnavailable("the engine was closed"))
            raise
        except Exception as error:
            if not out_of_memory(error):
                _fail(batch, error)
            elif len(batch) > 1:
                half = len(batch) // 2
                retry = [batch[:half], batch[half:]]
            else:
                _fail(batch, _no_memory(error))
        else:
            for entry, row in zip(batch, rows, strict=True):
                if not entry.future.done():
                    entry.future.set_result(self._result(entry.request, row))
        for part in retry:
            await self._run_batch(loop, part)

    def _next_batch(self) -> list[_Waiting]:
        waiting = [entry for entry in self._waiting if not entry.future.done()]
        batch: list[_Waiting] = []
        if waiting:
            exit = self._next_exit(waiting)
            width = 0
            for entry in waiting:
                if entry.request.exit == exit:
                    width = max(width, entry.width)
                    if len(batch) == self.max_rows or (batch and width * (len(batch) + 1) > self.max_tokens):
                        break
                    batch.append(entry)
        taken = set(map(id, batch))
        self._waiting = deque(entry for entry in waiting if id(entry) not in taken)
        return batch

    @staticmethod
    def _next_exit(waiting: list[_Waiting]) -> int | None:
        """The exit that most passes wait for, since a batch has one: few of a kind gather, but not for ever."""
        if waiting[0].passed_over >= MOST_PASSED_OVER:
            return waiting[0].request.exit
        counts = Counter(entry.request.exit for entry in waiting)
        exit = max(counts, key=lambda exit: counts[exit])
        waiting[0].passed_over += waiting[0].request.exit != exit
        return exit

    def _generate(self, batch: list[_Waiting]) -> list[Row]:
        started = time.perf_counter()
        try:
            return self._rows(batch)
        finally:
            self.model_seconds += time.perf_counter() - started

    def _rows(self, batch: list[_Waiting]) -> list[Row]:
        return generate(
            self.loaded.model,
            self.loaded.parts,
            [entry.request for entry in batch],
            stop=self.loaded.stop_tokens,
            pad=self.loaded.pad_token,
            abandoned=lambda row: batch[row].future.cancelled(),
        )

    def _result(self, request: Pass, row: Row) -> PassResult:
        decode = self.loaded.decode
        return PassResult(
            tokens=tuple(row.tokens),
            text=decode(row.tokens),
            logprobs=tuple(row.logprobs),
            stop_logprob=row.stop_logprob,
            steps=tuple(tuple(Alternative(token, self._decode(token), p) for token, p in top) for top in row.top),
            states=tuple(torch.stack(states) for states in row.states),
            patched=row.patched,
            prompt_tokens=len(request.prompt),
            finish_reason="stop" if row.stopped else "length",
            engine=self.name,
            lens=row.lens,
        )


def _no_memory(error: Exception) -> EngineUnavailable:
    return EngineUnavailable("out of memory", hint=f"shorten the prompt ({str(error).splitlines()[0]})")


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for entry in batch:
        if not entry.future.done():
            entry.future.set_exception(error)
