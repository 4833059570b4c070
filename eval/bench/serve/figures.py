"""Figures of one load, and their spread over rounds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

from eval.bench.serve.load import Report
from eval.bench.serve.server import Cpu
from eval.bench.serve.traffic import RIGHT, TURNED_AWAY
from eval.bench.vllm.ratios import Ratio

Figures = dict[str, float]
Spread = dict[str, float]  # of a figure: median, least, most


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` of all do not exceed; NaN of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def figures(report: Report, cpu: Cpu) -> Figures:
    """Of one load; `cpu` is what the server took meanwhile. Latencies are in ms, CPU times in seconds a second."""
    right, away = report.latencies[RIGHT], report.latencies[TURNED_AWAY]
    cores = os.cpu_count() or 1
    return {
        "requests": sum(report.verdicts.values()),
        "answers_per_second": report.answers / report.seconds,
        "p50": 1000 * percentile(right, 0.5),
        "p99": 1000 * percentile(right, 0.99),
        "p99_over_p50": percentile(right, 0.99) / percentile(right, 0.5),
        "turned_away": len(away),
        "turned_away_p99": 1000 * percentile(away, 0.99),
        "late_p99": 1000 * percentile(report.late, 0.99),
        "faults": report.faults,
        "first_thread": cpu.first / report.seconds,
        "other_threads": cpu.others / report.seconds,
        "generator": report.cpu_seconds / report.seconds,
        "rest": cores - (cpu.total + report.cpu_seconds) / report.seconds,
        "cpu_ms_per_answer": 1000 * cpu.total / max(1, report.answers),
    }


def spread(rounds: Sequence[Figures]) -> dict[str, Spread]:
    """Of every figure over the rounds that have it."""
    found = {}
    for name in rounds[0]:
        values = [given for figures in rounds if not math.isnan(given := figures[name])]
        if values:
            found[name] = asdict(Ratio(median(values), min(values), max(values)))
    return found
