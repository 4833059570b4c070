"""`hopfix bench soak`: every kind of request at once, for a long time; each answer checked, the memory watched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Any

from eval.bench.serve import load as generator
from eval.bench.serve import offline
from eval.bench.serve.comparison import process
from eval.bench.serve.figures import percentile
from eval.bench.serve.load import Load, Report
from eval.bench.serve.server import hopfix
from eval.bench.serve.traffic import RIGHT, TURNED_AWAY

MIX = (
    ("single", 35),
    ("listed", 10),
    ("lines", 5),
    ("completion", 10),
    ("completion_stream", 10),
    ("chat", 10),
    ("chat_stream", 5),
    ("bad", 10),
    ("gone", 5),
)
DISTINCT = 8192
SOURCES = 16  # addresses that the clients come from: the service is fair between them
WARMING = 0.1  # of the samples of memory, left out: caches fill, and allocators take what they will need
AFTERWARDS = 256  # questions, to see that clients who came and left took no place with them
FLAT = 0.05  # the most that memory may grow from the first quarter to the last


@dataclass(frozen=True)
class Memory:
    """The server's resident memory in MB: the medians of the first and the last quarter, and how it rises an hour."""

    first: float
    last: float
    slope: float

    @classmethod
    def of(cls, samples: Sequence[tuple[float, int]]) -> Memory:
        """From (seconds, bytes)."""
        kept = samples[round(WARMING * len(samples)) :]
        megabytes = [size / 1e6 for _, size in kept]
        quarter = max(1, len(kept) // 4)
        slope = linear_regression([at / 3600 for at, _ in kept], megabytes).slope
        return cls(median(megabytes[:quarter]), median(megabytes[-quarter:]), slope)

    @property
    def growth(self) -> float:
        return self.last / self.first - 1


def soak(
    *,
    seconds: float | None,
    requests: int | None,
    connections: int,
    distinct: int = DISTINCT,
    on_second: Callable[[int], object] = lambda seconds: None,
) -> dict[str, Any]:
    """A server of its own with its default settings. Ends after `seconds` or `requests`, what comes first.

    A client that is turned away comes again when it was told to.
    """
    with process(offline.begin) as library:
        asked = library.submit(offline.asked, distinct, ("direct",)).result()
        library.submit(offline.end).result()
    with process() as loads, hopfix(sys.executable) as server:
        load = Load(
            server.url,
            MIX,
            clients=connections,
            requests=requests,
            seconds=seconds,
            sources=SOURCES if sys.platform == "linux" else 1,
            patient=True,
        )
        before = server.cpu()
        running = loads.submit(generator.run, load, asked)
        samples: list[tuple[float, int]] = []
        while not wait([running], 1.0).done:
            samples.append((float(len(samples)), server.memory()))
            on_second(1)
        report, cpu = running.result(), server.cpu().since(before)
        last = Load(server.url, clients=64, requests=AFTERWARDS, first=report.asked)
        afterwards = loads.submit(generator.run, last, asked).result()
    return {
        "connections": connections,
        "distinct": len(asked),
        "seconds": report.seconds,
        "asked": report.asked,
        "answers": report.answers,
        "received_mb": report.received / 1e6,
        "counts": {kind: dict(counts) for kind, counts in sorted(report.counts.items())},
        "statuses": {str(status): count for status, count in sorted(report.statuses.items())},
        "latency_ms": _latencies(report),
        "cpu": {"server": cpu.total, "generator": report.cpu_seconds},
        "memory": vars(memory := Memory.of(samples)),
        "memory_growth": memory.growth,
        "afterwards": afterwards.verdicts[RIGHT],
        "faults": report.faults,
        "examples": report.examples + afterwards.examples,
    }


def sound(results: dict[str, Any]) -> bool:
    """Whether nothing was lost, crossed, wrong or failed, and the memory is flat."""
    faultless = results["faults"] == 0 and results["afterwards"] == AFTERWARDS
    return bool(faultless and results["memory_growth"] <= FLAT)


def _latencies(report: Report) -> dict[str, dict[str, float]]:
    return {
        name: {"p50": 1000 * percentile(given, 0.5), "p99": 1000 * percentile(given, 0.99)}
        for name in (RIGHT, TURNED_AWAY)
        if (given := report.latencies[name])
    }
