"""The default engine: the custom forward in one worker thread, batching what waits.

A batch is what has arrived when its lane has room (`correction.engines.lanes`); each step of a batch is a job of the
worker's queue, at whose end the next one is queued, so that batches, and tiles of grids, take turns. A pass is answered
when it ends, not when its batch does. The event loop never waits for the model.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import torch

from correction.engines.base import grid_of_passes
from correction.engines.lanes import Lane, Live, Waiting
from correction.errors import EngineUnavailable, HopfixError, UnsupportedModel
from correction.forms import phrase_is_over
from correction.forward import Batch, Row
from correction.grid import Grid, GridPass, check_grid, joined, run_tile, tiles
from correction.memory import out_of_memory
from correction.models import LoadedModel
from correction.passes import Alternative, Heard, Pass, PassResult, Step, check_pass
from correction.prefixes import Prefixes

BATCH_TOKENS = 16384  # the most of a batch, padding included
LONG = 32  # passes that may generate more tokens than this run in batches of their own
LONG_BATCHES = 3  # of those at once, so that one that arrives while others run need not wait for their end
SHORT_STEPS = 4  # of the others' batch, at each of its turns


class HFEngine:
    """Patched and unpatched passes on a Hugging Face model, through the custom forward."""

    name = "hf"
    can_patch = True
    trouble: str | None = None  # it runs in this process: while that lives, it answers
    down = False
    restarts = 0
    standins: Mapping[str, int] = MappingProxyType({})

    def __init__(self, loaded: LoadedModel, *, max_rows: int = 64, max_tokens: int = BATCH_TOKENS) -> None:
        self.loaded = loaded
        self.context = loaded.context
        self.batch_sizes: deque[int] = deque(maxlen=1000)  # the latest, for those who look
        self.prefixes = Prefixes(loaded.model)
        self.batches: Counter[int] = Counter()  # by how many rows they began with, all so far
        self.model_seconds = 0.0  # spent in the model so far
        self._short = Lane(1, max_rows, max_tokens, SHORT_STEPS)
        self._long = Lane(LONG_BATCHES, max_rows, max_tokens, 1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopfix-hf")
        self._closed = False
        self._decode = lru_cache(maxsize=1 << 16)(lambda token: loaded.decode([token]))

    def share(self, beginnings: Sequence[tuple[int, ...]]) -> None:
        """Announces tokens that many prompts begin with: they are run once."""
        self.prefixes.share(beginnings)

    async def start(self) -> None:
        """Nothing to do: the model is loaded, the worker starts with the first pass."""

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        check_pass(request, self.loaded.shape, self.context)
        loop = asyncio.get_running_loop()
        entry = Waiting(_seeded(request), loop.create_future(), heard)
        lane = self._long if request.sampling.max_tokens > LONG else self._short
        lane.waiting.append(entry)
        self._soon(loop, lane)
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
                    raise _OutOfMemory(error) from error
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
        for lane in (self._short, self._long):
            for entries in (lane.waiting, *lane.again, *(live.entries for live in lane.live)):
                _fail(entries, EngineUnavailable("the engine was closed"))
        self._thread.shutdown(wait=True)

    def _soon(self, loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
        """Begins what a lane has room for, after everything that is being asked right now has joined what waits."""
        loop.call_soon(loop.call_soon, self._begin, lane)

    def _begin(self, lane: Lane) -> None:
        while not self._closed and (live := lane.next()) is not None:
            self.batch_sizes.append(len(live.entries))
            self.batches[len(live.entries)] += 1
            self._thread.submit(self._turn, live)

    def _turn(self, live: Live) -> None:
        """A few steps of a batch, in the worker thread; then it queues up again behind what else is to run."""
        started = time.perf_counter()
        try:
            over = self._steps(live)
        except Exception as error:
            live.batch = None
            # Said anew: a traceback keeps alive what did not fit.
            failure = _OutOfMemory(error) if out_of_memory(error) else error
            live.loop.call_soon_threadsafe(self._failed, live, failure)
            return
        finally:
            self.model_seconds += time.perf_counter() - started
        if not over and not self._closed:
            self._thread.submit(self._turn, live)

    def _steps(self, live: Live) -> bool:
        """Whether the batch is over."""
        if live.batch is None:
            loaded = self.loaded
            requests = [entry.request for entry in live.entries]
            live.batch = Batch(
                loaded.model,
                loaded.parts,
                requests,
                stops=loaded.stops,
                pad=loaded.pad_token,
                prefixes=self.prefixes,
                over=lambda tokens: phrase_is_over(loaded.text(tokens)),
            )
        for _ in range(live.lane.steps):
            for number, entry in enumerate(live.entries):
                if entry.future.done():
                    live.batch.drop(number)
            ended = live.batch.step() if live.batch.running else []
            over = not live.batch.running
            said = [n for n, entry in enumerate(live.entries) if entry.heard is not None]
            if said or ended or over:
                live.loop.call_soon_threadsafe(self._tell, live, live.batch.rows, said, ended, over)
            if over:
                return True
        return False

    def _tell(self, live: Live, rows: Sequence[Row], said: Sequence[int], ended: Sequence[int], over: bool) -> None:
        """In the event loop, what a step has given."""
        for number in said:
            self._say(live.entries[number], rows[number])
        for number in ended:
            entry = live.entries[number]
            if not entry.future.done():
                entry.future.set_result(self._result(entry.request, rows[number]))
        if over:
            self._end(live)

    def _say(self, entry: Waiting, row: Row) -> None:
        if entry.heard is None or entry.future.done():
            return
        for at in range(entry.told, len(row.logprobs)):  # what the worker writes last of a step
            entry.told = at + 1
            entry.heard(Step(row.tokens[at], row.logprobs[at], self._named(row.top[at] if row.top else [])))

    def _failed(self, live: Live, error: Exception) -> None:
        entries = [entry for entry in live.entries if not entry.future.done()]
        if len(entries) > 1 and isinstance(error, _OutOfMemory):
            half = len(entries) // 2
            live.lane.again += [entries[:half], entries[half:]]
        elif len(entries) > 1 and isinstance(error, HopfixError):
            # One bad row (a state that is not finite, say) must not spoil its batch-mates.
            live.lane.again += [[entry] for entry in entries]
        else:
            _fail(entries, error)
        self._end(live)

    def _end(self, live: Live) -> None:
        live.lane.live.remove(live)
        self._soon(asyncio.get_running_loop(), live.lane)

    def _result(self, request: Pass, row: Row) -> PassResult:
        return PassResult(
            tokens=tuple(row.tokens),
            text=self.loaded.decode(row.tokens),
            logprobs=tuple(row.logprobs),
            stop_logprob=row.stop_logprob,
            steps=tuple(map(self._named, row.top)),
            states=tuple(torch.stack(states) for states in row.states),
            patched=row.patched,
            prompt_tokens=len(request.prompt),
            finish_reason="stop" if row.stopped else "length",
            engine=self.name,
            lens=row.lens,
            prompt=tuple(Step(token, logprob, self._named(top)) for token, logprob, top in row.prompt),
        )

    def _named(self, top: Sequence[tuple[int, float]]) -> tuple[Alternative, ...]:
        return tuple(Alternative(token, self._decode(token), probability) for token, probability in top)


class _OutOfMemory(EngineUnavailable):
    def __init__(self, error: Exception) -> None:
        super().__init__("out of memory", hint=f"shorten the prompt ({str(error).splitlines()[0]})")


def _seeded(request: Pass) -> Pass:
    """The pass, which draws the same tokens again if its batch fails and it is run once more."""
    if not request.sampling.temperature or request.sampling.seed is not None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=secrets.randbits(63)))


def _fail(entries: Sequence[Waiting], error: Exception) -> None:
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(error)
