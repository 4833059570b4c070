"""POST /v1/answer, against the stand-in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from correction.profile import Choice

pytestmark = pytest.mark.anyio


def error(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, which has OpenAI's four fields and no trace."""
    assert "Traceback" not in response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


async def test_one_question_gives_one_answer_object(connect) -> None:
    async with connect() as client:
        response = await client.post("/v1/answer", json={"id": "a", "question": "Q", "with_direct": True})
    assert response.status_code == 200
    assert response.json() == {
        "id": "a",
        "answer": "answer to Q",
        "strategy": "deployed",
        "corrected": True,
        "direct_answer": "direct to Q",
        "bridge": {
            "text": "the bridge",
            "probability": 0.9,
            "alternatives": [{"text": "the", "probability": 0.9}],
        },
        "hops": [{"prompt": "hop 1", "text": "the bridge"}, {"prompt": "hop 2 {}", "text": "answer"}],
        "patch": {"source_layer": 6, "target_layer": 0, "mapping": "vocabulary"},
        "profile": "stand-in@0",
        "confidence": 0.8,
        "fallback": None,
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "passes": 2, "layer_tokens": 0},
        "timings_ms": {"total": 1.0},
    }


async def test_a_list_gives_a_list_in_its_order_and_a_failure_spoils_no_other(connect) -> None:
    entries = [
        {"id": "a", "question": "A"},
        {"id": "b", "question": ""},
        {"id": "c", "question": "C", "colour": "red"},
        "not an object",
        {"id": "e", "question": "break"},
        {"id": "f", "hop1": "F is", "hop2": "no blank"},
        {"id": "g", "question": "G"},
        {"id": 7, "question": "H"},
    ]
    async with connect() as client:
        response = await client.post("/v1/answer", json=entries)
    assert response.status_code == 200
    answers = response.json()
    assert [entry["id"] for entry in answers] == ["a", "b", "c", None, "e", "f", "g", None]
    assert [entry.get("answer") for entry in answers] == ["answer to A", *[None] * 5, "answer to G", None]
    errors = [entry["error"]["code"] for entry in answers if "error" in entry]
    assert errors == [
        "invalid_input",
        "invalid_fields",
        "invalid_fields",
        "internal",
        "invalid_input",
        "invalid_fields",
    ]
    assert "secret detail" not in response.text


async def test_layers_and_mapping_are_completed_from_the_strategys_own(connect, corrector) -> None:
    async with connect() as client:
        await client.post("/v1/answer", json={"question": "Q", "source_layer": 4})
        await client.post("/v1/answer", json={"question": "Q", "strategy": "patched", "target_layer": 2})
        await client.post("/v1/answer", json={"question": "Q", "mapping": "identity"})
        await client.post("/v1/answer", json={"question": "Q"})
    assert [choice for _, _, choice in corrector.asked] == [
        Choice(4, 0, "vocabulary"),
        Choice(3, 2, "identity"),
        Choice(6, 0, "identity"),
        None,
    ]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "question"),
        ({"question": " "}, 400, "question"),
        ({"hop1": "A is"}, 400, "hop2"),
        ({"hop1": "A is", "hop2": "B is"}, 400, "hop2"),
        ({"hop1": "A is", "hop2": "{} of {} is"}, 400, "hop2"),
        ({"hop1": "", "hop2": "B of {} is"}, 400, "hop1"),
        ({"question": "Q", "source_layer": 0}, 400, "source_layer"),
        ({"question": "Q", "source_layer": 7}, 400, "source_layer"),
        ({"question": "Q", "target_layer": 6}, 400, "target_layer"),
        ({"question": "Q", "target_layer": -1}, 400, "target_layer"),
        ({"question": "Q", "mapping": "magic"}, 400, "mapping"),
        ({"question": "Q", "strategy": "direct", "mapping": "identity"}, 400, "mapping"),
        ({"question": "Q", "strategy": "guess"}, 422, "strategy"),
        ({"question": ["Q"]}, 422, "question"),
        ({"question": "Q", "\ud800": 1}, 422, None),
        ([], 422, None),
        ("Q", 422, None),
        (None, 422, None),
        ({"question": "overlong"}, 400, "prompt"),
        ({"question": "engine down"}, 503, None),
        ({"question": "unpatched"}, 500, None),
    ],
)
async def test_what_cannot_be_answered_says_why(connect, body: object, status: int, param: str | None) -> None:
    async with connect() as client:
        response = await client.post("/v1/answer", content=json.dumps(body))
    assert (response.status_code, error(response)["param"]) == (status, param)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"question": "Q"} x', b"9" * 5000])
async def test_what_is_not_json_says_so(connect, content: bytes) -> None:
    async with connect() as client:
        response = await client.post("/v1/answer", content=content)
    assert (response.status_code, error(response)["code"]) == (400, "not_json")


async def test_limits_on_size(connect) -> None:
    async with connect(max_body_bytes=100, max_questions=2) as client:
        body = await client.post("/v1/answer", json={"question": "Q" * 100})
        questions = await client.post("/v1/answer", json=[{"question": "Q"}] * 3)
    assert (body.status_code, error(body)["message"][:27]) == (413, "the body is larger than 100")
    assert (questions.status_code, error(questions)["message"][:27]) == (413, "the list has 3 entries, the")


async def test_beyond_the_limit_in_flight_is_429(connect, corrector) -> None:
    async with connect(max_in_flight=2, max_queued=0) as client:
        waiting = asyncio.create_task(client.post("/v1/answer", json=[{"question": "wait"}] * 2))
        await corrector.waiting.wait()
        response = await client.post("/v1/answer", json={"question": "Q"})
        waiting.cancel()
    assert (response.status_code, error(response)["code"]) == (429, "overloaded")
    assert response.headers["Retry-After"] == "1"


async def test_the_deadline_ends_one_question_of_a_list_and_no_other(connect, corrector) -> None:
    async with connect(deadline_seconds=0.05) as client:
        single = await client.post("/v1/answer", json={"question": "wait"})
        several = await client.post("/v1/answer", json=[{"question": "Q"}, {"question": "wait"}])
    assert (single.status_code, error(single)["code"]) == (504, "deadline_exceeded")
    assert [entry.get("answer") for entry in several.json()] == ["answer to Q", None]
    assert several.json()[1]["error"]["code"] == "deadline_exceeded"
    assert corrector.abandoned == 2


async def test_what_nobody_foresaw_is_a_500_with_an_id_that_the_log_has(connect, caplog) -> None:
    async with connect() as client:
        response = await client.post("/v1/answer", json={"question": "break"})
        assert (await client.get("/health")).status_code == 200
    assert response.status_code == 500
    assert error(response)["code"] == "internal"
    assert "secret detail" not in response.text
    request_id = response.headers["X-Request-ID"]
    assert request_id in error(response)["message"]
    assert request_id in caplog.text
    assert "secret detail" in caplog.text


async def test_a_key_is_asked_for_where_one_is_set(connect) -> None:
    body = {"question": "Q"}
    async with connect(api_key="kéy") as client:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic kéy".encode()}):
            response = await client.post("/v1/answer", json=body, headers=header)
            assert (response.status_code, error(response)["code"]) == (401, "invalid_api_key")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert (await client.get("/v1/models")).status_code == 401
        given = {"Authorization": "Bearer kéy".encode()}
        assert (await client.post("/v1/answer", json=body, headers=given)).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_unknown_paths_and_methods(connect) -> None:
    async with connect() as client:
        path = await client.post("/v1/anwser", json={})
        slash = await client.post("/v1/answer/", json={})
        method = await client.get("/v1/answer")
    assert (path.status_code, error(path)["code"]) == (404, "not_found")
    assert (slash.status_code, error(slash)["code"]) == (404, "not_found")
    assert (method.status_code, error(method)["code"]) == (405, "method_not_allowed")
    assert method.headers["Allow"] == "POST"
