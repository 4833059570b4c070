"""What every response has, and what of a client's own words comes into the log."""

from __future__ import annotations

import logging
import re

import pytest

pytestmark = pytest.mark.anyio
HOSTILE = ("line\r\nbreak", "\x1b[31mred", "\x9b31mred", "a b", "x" * 65, "", "é", "{}", '"', "%0a", "a/b", "$(id)")


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models", "/nowhere"])
async def test_headers_of_every_response(connect, path: str) -> None:
    async with connect() as client:
        headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-ID"])


@pytest.mark.parametrize("given", ["0", "req_9f", "4bf92f35-77b3.4da6_", "x" * 64])
async def test_a_clients_own_request_id_is_kept(connect, given: str) -> None:
    async with connect() as client:
        assert (await client.get("/health", headers={"X-Request-ID": given})).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", HOSTILE)
async def test_one_that_could_forge_a_log_line_is_not(connect, given: str) -> None:
    async with connect() as client:
        request = client.build_request("GET", "/health")
        request.headers.raw.append((b"x-request-id", given.encode("utf-8")))
        response = await client.send(request)
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_clients_words_are_not_logged(connect, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "service")
    caplog.set_level(logging.DEBUG, "correction")
    marked = f"hush {text}"
    async with connect() as client:
        for path, body in (
            ("/v1/answer", {"question": marked}),
            ("/v1/answer", {"question": "Q", "id": marked}),
            ("/v1/answer", {marked: 1}),
            ("/v1/answer", {"question": "Q", "mapping": marked}),
            ("/v1/answer", [{"question": marked}, {"question": marked, "mapping": marked}]),
            ("/v1/completions", {"model": marked, "prompt": "Q"}),
            ("/v1/completions", {"model": "stand-in", "prompt": marked}),
        ):
            response = await client.post(path, json=body)
            assert response.status_code < 500
    ours = [record for record in caplog.records if record.name.startswith(("service", "correction"))]
    assert not [record for record in ours if "hush" in logging.Formatter().format(record)]
