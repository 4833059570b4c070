"""Spans as a collector receives them: a real one, by OTLP over HTTP on this machine."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from correction.errors import HopfixError
from service.tracing import Tracing

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Keeps the spans that it is sent, by name."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.spans: dict[str, Any] = {}
        self.service = ""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {a.key: a.value.string_value for a in sent.resource.attributes}
                    collector.service = named["service.name"]
                    for scope in sent.scope_spans:
                        collector.spans |= {span.name: span for span in scope.spans}
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    threading.Thread(target=collector.server.serve_forever).start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@pytest.mark.anyio
async def test_a_request_that_fails_has_a_span_too(connect, collector: Collector) -> None:
    async with connect(otlp_endpoint=collector.url) as client:
        await client.post("/v1/answer", json={"question": "engine down"})
    assert collector.service == "hopfix"
    assert set(collector.spans) == {"POST /v1/answer"}
    assert attributes(collector.spans["POST /v1/answer"])["http.response.status_code"] == 503


@pytest.mark.anyio
async def test_an_answers_stages_are_inside_its_request_and_that_in_the_clients_trace(
    connect_demo, collector: Collector
) -> None:
    headers = {"traceparent": PARENT, "X-Request-ID": "one"}
    question = {"question": "Who runs the company that makes the Walkman?"}
    async with connect_demo(otlp_endpoint=collector.url) as client:
        assert (await client.post("/v1/answer", json=question, headers=headers)).status_code == 200
    request, hop1, hop2 = (collector.spans[name] for name in ("POST /v1/answer", "hop1", "hop2"))
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/answer",
        "http.response.status_code": 200,
        "hopfix.request_id": "one",
        "hopfix.client": "127.0.0.1",
    }
    assert request.trace_id.hex() == hop1.trace_id.hex() == PARENT.split("-")[1]
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    assert hop1.parent_span_id == hop2.parent_span_id == request.span_id
    assert request.start_time_unix_nano < hop1.start_time_unix_nano < hop1.end_time_unix_nano
    assert hop1.end_time_unix_nano == hop2.start_time_unix_nano
    assert hop2.end_time_unix_nano < request.end_time_unix_nano


@pytest.mark.anyio
async def test_what_was_not_computed_again_is_inside_its_request_too(connect, collector: Collector) -> None:
    async with connect(otlp_endpoint=collector.url, cache_answers=1) as client:
        for _ in range(2):
            assert (await client.post("/v1/answer", json={"question": "A"})).status_code == 200
    request, cached = collector.spans["POST /v1/answer"], collector.spans["cached"]
    assert cached.parent_span_id == request.span_id
    assert request.start_time_unix_nano < cached.start_time_unix_nano
    assert cached.end_time_unix_nano < request.end_time_unix_nano


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(HopfixError, match=r"pip install 'hopfix\[otel\]'"):
        Tracing("http://localhost:4318")
