"""All of `hopfix bench serve`: HTTP beside the same engine offline, latency under load, overload, vLLM's own server."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any

from eval.bench.serve import load as generator
from eval.bench.serve import offline
from eval.bench.serve.figures import Figures, figures, spread
from eval.bench.serve.load import Load
from eval.bench.serve.server import Server, hopfix, vllm
from eval.bench.serve.traffic import Asked
from eval.bench.vllm.ratios import ratio

CLIENTS = 64
SHARES = (0.7, 1.0, 4.0)  # of capacity, for the open loops
PIPELINE = "two_step on vLLM's own server"
DISTINCT = 4096
QUESTIONS = 1280  # of a round offline, and of a closed loop
Advance = Callable[[int], object]


class Bench:
    """A load generator in a process of its own, and which question comes next."""

    def __init__(self, questions: Sequence[Asked], pool: ProcessPoolExecutor) -> None:
        self.examples: list[str] = []
        self._questions = questions
        self._pool = pool
        self._next = 0

    def measure(self, server: Server, kind: str = "single", **given: Any) -> Figures:
        """Figures of one load on a server."""
        load = Load(server.url, ((kind, 1),), first=self._next, **given)
        before = server.cpu()
        report = self._pool.submit(generator.run, load, self._questions).result()
        self._next += report.asked
        self.examples += report.examples
        return figures(report, server.cpu().since(before))

    def texts(self, count: int) -> list[str]:
        """The next questions, for a side that takes them itself."""
        numbers = range(self._next, self._next + count)
        self._next += count
        return [self._questions[number % len(self._questions)].text for number in numbers]


def compare_serve(
    *,
    rounds: int,
    seconds: float,
    threads: int | None = None,
    distinct: int = DISTINCT,
    questions: int = QUESTIONS,
    vllm_python: str | None = None,
    on_done: Advance = lambda loads: None,
) -> dict[str, Any]:
    """`seconds` each open loop lasts. `threads` of torch, offline and served; both their own choice unless given."""
    strategies = ("two_step",) if vllm_python else ()
    with process(offline.begin, threads) as library, process() as loads:
        asked = library.submit(offline.asked, distinct, strategies).result()
        bench = Bench(asked, loads)
        with hopfix(sys.executable, threads=threads) as server:
            bench.measure(server, requests=questions)  # warms up
            batch = _throughput(bench, server, library, rounds, questions, on_done)
            capacity = batch["closed"]["answers_per_second"]["median"]
            load = _latency(bench, server, capacity, rounds, seconds, on_done)
        library.submit(offline.end).result()
        servers = _servers(bench, vllm_python, threads, rounds, questions, on_done) if vllm_python else {}
    return {
        "rounds": rounds,
        "seconds": seconds,
        "questions": questions,
        "distinct": len(asked),
        "clients": CLIENTS,
        "capacity": capacity,
        **batch,
        **load,
        "servers": servers,
        "examples": bench.examples,
    }


def steps(rounds: int, with_vllm: bool) -> int:
    """How often `on_done` is told of one."""
    return rounds * (6 + 3 * with_vllm)


@contextmanager
def process(begin: Callable[..., object] | None = None, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """Runs functions in one process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin, given) as pool:
        yield pool


def _throughput(
    bench: Bench, server: Server, library: ProcessPoolExecutor, rounds: int, questions: int, on_done: Advance
) -> dict[str, Any]:
    """The engine offline in lists of so many at once, and the service; in turn first and second."""
    found: list[Figures] = []
    offline_rates: list[float] = []
    for number in range(rounds):
        for side in ("offline", "closed") if number % 2 else ("closed", "offline"):
            if side == "closed":
                found.append(bench.measure(server, clients=CLIENTS, requests=questions))
            else:
                texts = bench.texts(questions)
                offline_rates.append(len(texts) / library.submit(offline.seconds, texts, CLIENTS).result())
            on_done(1)
    rates = [one["answers_per_second"] for one in found]
    return {
        "offline": spread([{"answers_per_second": rate} for rate in offline_rates])["answers_per_second"],
        "closed": spread(found),
        "over_offline": asdict(ratio(rates, offline_rates)),
    }


def _latency(
    bench: Bench, server: Server, capacity: float, rounds: int, seconds: float, on_done: Advance
) -> dict[str, Any]:
    closed: list[Figures] = []
    opened: dict[float, list[Figures]] = {share: [] for share in SHARES}
    for number in range(rounds):
        closed.append(bench.measure(server, clients=CLIENTS, seconds=seconds))
        on_done(1)
        for share in SHARES:
            opened[share].append(bench.measure(server, rate=share * capacity, seconds=seconds, seed=number))
            on_done(1)
    over = [one["p99"] for one in opened[SHARES[-1]]]
    return {
        "at_capacity": spread(closed),
        "open": {str(share): spread(given) for share, given in opened.items()},
        "overload_over_closed": asdict(ratio(over, [one["p99"] for one in closed])),
        "overload_over_open": asdict(ratio(over, [one["p99"] for one in opened[1.0]])),
    }


def _servers(
    bench: Bench, python: str, threads: int | None, rounds: int, questions: int, on_done: Advance
) -> dict[str, Any]:
    """hopfix on two engines and the text pipeline on vLLM's own server, all alive, in turn in every round."""
    with ExitStack() as stack:
        sides = {
            PIPELINE: (stack.enter_context(vllm(python)), "two_step"),
            "hopfix, engine hf": (stack.enter_context(hopfix(sys.executable, threads=threads)), "single"),
            "hopfix, engine vllm": (stack.enter_context(hopfix(python, "--engine", "vllm")), "single"),
        }
        found: dict[str, list[Figures]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, (server, kind) in sides.items():
                measured = bench.measure(server, kind, clients=CLIENTS, requests=questions)
                if number:  # the first round warms up
                    found[name].append(measured)
                    on_done(1)
    baseline = median(one["answers_per_second"] for one in next(iter(found.values())))
    return {
        name: {**spread(given), "over": median(one["answers_per_second"] for one in given) / baseline}
        for name, given in found.items()
    }
