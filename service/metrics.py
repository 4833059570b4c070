"""What operators see at /metrics: `docs/operations.md` says what each number means.

One registry a service, so that several can live in one process. Where several processes are one service (`--workers`)
each keeps its numbers in files that all of them read, and any of them gives the sum: that is why nothing is calculated
while somebody looks, and what others count is copied by `refresh`.
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from correction.answers import Answer
    from correction.engines.base import Engine
    from service.settings import Settings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the folder of the files; the library looks for it when it is imported
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# What a fallback's reason begins with or contains, since reasons have numbers in them and labels must be few.
REASONS = {
    "no two hops": "not_two_hops",
    "gave no bridge": "no_bridge",
    "did not end": "bridge_did_not_end",
    "the bridge has": "bridge_too_long",
    "has no profile": "no_profile",
    "two_step no worse": "profile_says_two_step",
    "direct no worse": "profile_says_direct",
    "the plain answer": "plain_answer_surer",
}
KEPT = "plain_answer_surer"
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters that the routes and the middleware write."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests", "route", "status")
        self.seconds = self._seconds("request_seconds", "Time from request to response", "route")
        self.answers = self._counter("answers", "Answers", "strategy", "outcome")
        self.fallbacks = self._counter("fallbacks", "Answers without the patch that was wanted", "reason")
        self.failures = self._counter("failures", "Questions without an answer", "code")
        self.stages = self._seconds("stage_seconds", "Time of an answer's stages", "stage")
        self.waited = self._seconds("wait_seconds", "Time that questions waited")
        self.refused = self._counter("refused", "Questions turned away", "reason")
        self.reused = self._counter("reused", "Answers not computed again", "how")
        self.tokens = self._counter("tokens", "Tokens of prompts, and generated ones", "kind")
        self.passes = self._counter("passes", "Passes through the model")
        self.shadow = self._counter("shadow", "Questions of shadow mode", "outcome")
        self.reloads = self._counter("reloads", "Reloads of the profile", "outcome")
        self.in_flight = self._gauge("questions_in_flight", "Questions that run or wait")
        self.running = self._gauge("questions_running", "Questions that run")
        self.waiting = self._gauge("questions_waiting", "Questions that wait for their turn")
        self.ready = self._gauge("ready", "Processes that answer questions")
        self.workers = self._gauge("workers", "Processes that there should be", mode="livemax")
        self.build = self._gauge("build_info", "What runs", "version", "model", "engine", mode="livemax")
        self._engine = _EngineNumbers(self)
        self._process = _ProcessNumbers(self)
        self._followed: list[tuple[Gauge, Callable[[], float]]] = []
        self.failures.labels("patch_not_applied")  # there from the start, for whoever watches it

    def count(self, answer: Answer) -> None:
        """Counts one answer."""
        reason = None if answer.fallback is None else _label(answer.fallback.reason)
        if answer.corrected:
            outcome = "corrected"
        elif reason is None:
            outcome = "plain"
        else:
            outcome = "kept" if reason == KEPT else "fallback"
            self.fallbacks.labels(reason).inc()
        self.answers.labels(answer.strategy, outcome).inc()
        for stage, milliseconds in answer.timings_ms.items():
            self.stages.labels(stage).observe(milliseconds / 1000)
        if answer.usage.passes:  # else it was computed for somebody else
            self.count_passes(answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.passes)

    def count_passes(self, prompt_tokens: int, generated_tokens: int, passes: int = 1) -> None:
        """Counts what the model was asked."""
        self.tokens.labels("prompt").inc(prompt_tokens)
        self.tokens.labels("generated").inc(generated_tokens)
        self.passes.inc(passes)

    def follow(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """From now on the gauge is what this gives at each `refresh`."""
        self._followed.append((gauge, read))

    def watch(self, engine: Callable[[], Engine | None], settings: Settings) -> None:
        """The engine's numbers from now on, once there is one, and what was asked for."""
        self._engine.watched = engine
        self.workers.set(settings.workers)
        self.build.labels(version("hopfix"), settings.model_name, settings.engine).set(1)

    def refresh(self) -> None:
        """Copies what others count."""
        for gauge, read in self._followed:
            gauge.set(read())
        self._engine.refresh()
        self._process.refresh()

    def text(self) -> bytes:
        """Prometheus' text format: this process's numbers, or the sum over all that are one service."""
        self.refresh()
        registry = self.registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"hopfix_{name}", help, labels, registry=self.registry)

    def _seconds(self, name: str, help: str, *labels: str) -> Histogram:
        return Histogram(f"hopfix_{name}", help, labels, registry=self.registry, buckets=SECONDS)

    def _gauge(self, name: str, help: str, *labels: str, mode: Literal["livesum", "livemax"] = "livesum") -> Gauge:
        """Summed over the processes that live, where the mode does not say otherwise."""
        return Gauge(f"hopfix_{name}", help, labels, registry=self.registry, multiprocess_mode=mode)


class _EngineNumbers:
    """What the engine counts itself."""

    def __init__(self, metrics: Metrics) -> None:
        self.watched: Callable[[], Engine | None] = lambda: None
        self._up = metrics._gauge("engine_up", "Processes whose engine has no trouble")
        self._restarts = metrics._counter("engine_restarts", "How often vLLM was started again")
        self._standins = metrics._counter("standins", "Passes that the custom forward ran in vLLM's place", "reason")
        self._rows = Histogram(
            "hopfix_batch_rows", "Passes that began in one batch", registry=metrics.registry, buckets=ROWS
        )
        self._counted: Tally[object] = Tally()

    def refresh(self) -> None:
        engine = self.watched()
        self._up.set(engine is not None and engine.trouble is None)
        if engine is None:
            return
        self._restarts.inc(self._more("restarts", engine.restarts))
        for reason, passes in engine.standins.items():
            self._standins.labels(reason).inc(self._more(reason, passes))
        batches: dict[int, int] = getattr(engine, "batches", {})  # vLLM's own metrics have its batches
        for rows, times in list(batches.items()):  # another thread adds to it
            for _ in range(self._more(rows, times)):
                self._rows.observe(rows)

    def _more(self, name: object, total: int) -> int:
        """By how much it is more than when it was copied last."""
        more = total - self._counted[name]
        self._counted[name] = total
        return more


class _ProcessNumbers:
    """Prometheus' own names for what a process takes; its own collector knows one process only."""

    def __init__(self, metrics: Metrics) -> None:
        self._collector = ProcessCollector(registry=None)
        self._cpu = Counter("process_cpu_seconds", "User and system CPU time", registry=metrics.registry)
        self._memory = Gauge(
            "process_resident_memory_bytes", "Resident memory", registry=metrics.registry, multiprocess_mode="livesum"
        )
        self._files = Gauge(
            "process_open_fds", "Open file descriptors", registry=metrics.registry, multiprocess_mode="livesum"
        )
        self._counted = 0.0

    def refresh(self) -> None:
        now = {sample.name: sample.value for family in self._collector.collect() for sample in family.samples}
        if not now:  # there is no /proc
            return
        self._memory.set(now["process_resident_memory_bytes"])
        self._files.set(now["process_open_fds"])
        self._cpu.inc(now["process_cpu_seconds_total"] - self._counted)
        self._counted = now["process_cpu_seconds_total"]


def _label(reason: str) -> str:
    """A fallback's reason as one of a few words."""
    return next((label for words, label in REASONS.items() if words in reason), "other")
