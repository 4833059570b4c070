"""OpenTelemetry traces, where they are asked for: a span a request, and inside it one for each stage of an answer.

Needs the extra `otel`; nothing of it is imported otherwise. What is sampled, and what else a span says of this service,
is OpenTelemetry's own business (`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from correction.errors import HopfixError

DELAY = 1.0  # seconds that spans wait for others, so that they travel together
PATIENCE = 5.0  # seconds that a collector may take


class Tracing:
    """Spans, sent to a collector by OTLP over HTTP; raises `HopfixError` where the extra is not installed."""

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise HopfixError(
                "--otlp-endpoint needs OpenTelemetry, which is not installed", hint="pip install 'hopfix[otel]'"
            ) from None
        service = Resource.create({SERVICE_NAME: "hopfix"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=service, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=PATIENCE)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000 * DELAY))
        self.tracer = self._provider.get_tracer("hopfix")

    def add_stages(self, milliseconds: Mapping[str, float]) -> None:
        """Of an answer that is just done. Durations are measured; when each began is worked out from their order."""
        total = milliseconds.get("total") or sum(milliseconds.values())  # one that was not computed has no total
        begin = time.time_ns() - int(1e6 * total)
        for stage, duration in milliseconds.items():
            if stage != "total":
                end = begin + int(1e6 * duration)
                self.tracer.start_span(stage, start_time=begin).end(end)
                begin = end

    def close(self) -> None:
        """Sends what is left; blocks for as long as that takes."""
        self._provider.shutdown()


class Trace:
    """Pure ASGI, inside `service.middleware.Observe`: continues the client's trace where it sends `traceparent`."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.app = app
        self._tracer = tracing.tracer
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, state = scope["method"], scope["state"]
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(method, self._propagator.extract(sent), self._kind) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self.app(scope, receive, send_noted)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.request.method": method, "http.route": route})
                for name in {"request_id", "client"} & state.keys():
                    span.set_attribute(f"hopfix.{name}", state[name])
