"""Lists whose entries come as lines, against the stand-in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio
LINES = {"Accept": "application/x-ndjson"}


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


async def test_they_are_what_the_list_would_be_in_its_order(connect) -> None:
    entries = [{"id": "a", "question": "A"}, {"id": "b", "question": ""}, 7, {"id": "d", "question": "break"}]
    async with connect() as client:
        listed = (await client.post("/v1/answer", json=entries)).json()
        streamed = lines(await client.post("/v1/answer", json=entries, headers=LINES))
    assert [entry.get("answer") for entry in streamed] == ["answer to A", None, None, None]
    assert [entry["id"] for entry in streamed] == ["a", "b", None, "d"]
    assert [entry["error"]["code"] for entry in streamed[1:]] == ["invalid_input", "invalid_fields", "internal"]
    assert listed[:3] == streamed[:3]  # the last names its request


async def test_one_question_is_one_line(connect) -> None:
    async with connect() as client:
        [answer] = lines(await client.post("/v1/answer", json={"question": "Q"}, headers=LINES))
    assert answer["answer"] == "answer to Q"


async def test_there_may_be_more_of_them_than_of_a_list_and_few_are_asked_ahead(connect, corrector) -> None:
    entries = [{"id": str(n), "question": f"{n}"} for n in range(1000)]
    async with connect(max_questions=10, max_in_flight=4, max_queued=0) as client:
        streamed = lines(await client.post("/v1/answer", json=entries, headers=LINES))
    assert [(entry["id"], entry["answer"]) for entry in streamed] == [(str(n), f"answer to {n}") for n in range(1000)]


async def test_an_id_of_half_a_surrogate_pair_comes_back_readable(connect) -> None:
    async with connect() as client:
        body = b'[{"id": "\\ud800", "question": 1}]'
        [entry] = (await client.post("/v1/answer", content=body)).json()
    assert entry["id"] in (None, "?")


async def test_what_is_wrong_with_the_request_is_a_status_and_no_line(connect) -> None:
    async with connect() as client:
        empty = await client.post("/v1/answer", json=[], headers=LINES)
        single = await client.post("/v1/answer", json={"question": ""}, headers=LINES)
    assert (empty.status_code, single.status_code) == (422, 400)
    assert single.json()["error"]["param"] == "question"


async def called(client: httpx.AsyncClient, entries: list[dict[str, str]], receive: Any, send: Any) -> None:
    """The application itself, by an ASGI server that does as a test needs."""
    body = json.dumps(entries).encode()
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def first_the_body() -> dict[str, Any]:
        return next(sent, None) or await receive()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/answer",
        "raw_path": b"/v1/answer",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"accept", b"application/x-ndjson"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("hopfix", 80),
    }
    await client._transport.app(scope, first_the_body, send)  # type: ignore[attr-defined]


async def test_a_client_that_goes_away_is_not_answered_any_further(connect, corrector) -> None:
    entries = [{"question": "A"}, *[{"question": "wait"}] * 3, {"question": "B"}]
    gone, got = asyncio.Event(), bytearray()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        got.extend(message.get("body", b""))

    async with connect(max_in_flight=2, max_queued=0) as client:
        task = asyncio.create_task(called(client, entries, receive, send))
        await corrector.waiting.wait()
        gone.set()
        await task
        assert (await client.post("/v1/answer", json=[{"question": "Q"}] * 2)).status_code == 200
    assert json.loads(got)["answer"] == "answer to A"
    assert corrector.abandoned >= 1
    assert "B" not in [question.text for question, _, _ in corrector.asked]


async def test_a_client_that_reads_nothing_holds_no_place_for_ever(connect) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async with connect(max_in_flight=1, max_queued=0, deadline_seconds=0.05) as client:
        await called(client, [{"question": "A"}, {"question": "B"}], receive, send)
        assert (await client.post("/v1/answer", json={"question": "Q"})).status_code == 200
