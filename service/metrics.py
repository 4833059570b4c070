"""What operators see at /metrics. One registry a service, so that several can live in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from correction.answers import Answer
    from correction.engines.base import Engine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters that the routes and the middleware write."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("hopfix_requests", "HTTP requests", ("route", "status"), registry=self.registry)
        self.seconds = Histogram(
            "hopfix_request_seconds", "Time from request to response", ("route",), registry=self.registry
        )
        self.answers = Counter("hopfix_answers", "Answers by strategy", ("strategy",), registry=self.registry)
        self.corrected = Counter("hopfix_corrected", "Answers from a patched pass", registry=self.registry)
        self.fallbacks = Counter(
            "hopfix_fallbacks", "Answers without the patch that was wanted", ("strategy",), registry=self.registry
        )
        self.failures = Counter("hopfix_failures", "Questions without an answer", ("code",), registry=self.registry)
        self.in_flight = Gauge("hopfix_questions_in_flight", "Questions being answered", registry=self.registry)
        self.waiting = Gauge("hopfix_questions_waiting", "Questions that wait for their turn", registry=self.registry)
        self.waited = Histogram("hopfix_wait_seconds", "Time that questions waited", registry=self.registry)
        self.refused = Counter("hopfix_refused", "Questions turned away", ("reason",), registry=self.registry)
        self.reused = Counter("hopfix_reused", "Answers not computed again", ("how",), registry=self.registry)
        self.shadow = Counter("hopfix_shadow", "Questions of shadow mode", ("outcome",), registry=self.registry)
        self.reloads = Counter("hopfix_reloads", "Reloads of the profile", ("outcome",), registry=self.registry)
        self.ready = Gauge("hopfix_ready", "1 when questions are answered", registry=self.registry)

    def count(self, answer: Answer) -> None:
        """Counts one answer."""
        self.answers.labels(answer.strategy).inc()
        if answer.corrected:
            self.corrected.inc()
        if answer.fallback is not None:
            self.fallbacks.labels(answer.fallback.strategy).inc()

    def watch(self, engine: Callable[[], Engine | None]) -> None:
        """The engine's numbers from now on, once there is one."""
        self.registry.register(_EngineNumbers(engine))

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)


class _EngineNumbers(Collector):
    """What the engine counts itself, read when somebody looks."""

    def __init__(self, engine: Callable[[], Engine | None]) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine = self._engine()
        up = engine is not None and engine.trouble is None
        yield GaugeMetricFamily("hopfix_engine_up", "1 while nothing is wrong with the engine", value=up)
        restarts = CounterMetricFamily("hopfix_engine_restarts", "How often vLLM was started again")
        restarts.add_metric((), 0 if engine is None else engine.restarts)
        yield restarts
        standins = CounterMetricFamily(
            "hopfix_standins", "Passes that the custom forward ran in vLLM's place", labels=("reason",)
        )
        for reason, passes in () if engine is None else sorted(engine.standins.items()):
            standins.add_metric((reason,), passes)
        yield standins
