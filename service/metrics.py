"""What operators see at /metrics. One registry a service, so that several can live in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from correction.answers import Answer

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
        self.ready = Gauge("hopfix_ready", "1 when questions are answered", registry=self.registry)

    def count(self, answer: Answer) -> None:
        """Counts one answer."""
        self.answers.labels(answer.strategy).inc()
        if answer.corrected:
            self.corrected.inc()
        if answer.fallback is not None:
            self.fallbacks.labels(answer.fallback.strategy).inc()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
