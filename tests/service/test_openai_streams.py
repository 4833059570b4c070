"""Streams of server-sent events: together they say what one body does; failures and clients that leave end them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import EngineUnavailable
from correction.models import LoadedModel, demo_profile_folder
from correction.passes import Heard, Pass, PassResult, Step
from correction.profile import Profile
from service.openai.chats import ChatChunk
from service.openai.completions import CompletionChunk
from tests.service.conftest import serving, until_ready

pytestmark = pytest.mark.anyio
QUESTION = "Who runs the company that makes the Walkman?"
PLAIN = "The currency of Japan is"
MESSAGES = [{"role": "user", "content": "What is the capital of Japan?"}]


def events(text: str) -> list[dict[str, Any]]:
    """The data of each event; the last must be [DONE]."""
    *data, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in data]


async def streamed(client: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    response = await client.post(path, json={"model": "demo", "stream": True, **body})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["X-Accel-Buffering"] == "no"  # else nginx would keep it until its end
    chunks = events(response.text)
    for chunk in chunks:
        (ChatChunk if "chat" in path else CompletionChunk).model_validate_json(json.dumps(chunk), strict=True)
    return chunks


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": PLAIN},
        {"prompt": PLAIN, "stop": "n", "logprobs": 2},
        {"prompt": PLAIN, "echo": True},
        {"prompt": PLAIN, "echo": True, "logprobs": 1, "max_tokens": 1},
        {"prompt": QUESTION},
        {"prompt": [QUESTION, PLAIN, "The capital of Japan is"], "n": 2},
        {"prompt": ["The", PLAIN], "n": 2, "temperature": 1.5, "seed": 3, "logprobs": 0},
    ],
)
async def test_a_streamed_completion_is_the_same(connect_demo, body: dict[str, Any]) -> None:
    async with connect_demo() as client:
        whole = (await client.post("/v1/completions", json={"model": "demo", **body})).json()
        chunks = await streamed(client, "/v1/completions", **body, stream_options={"include_usage": True})
    *chunks, last = chunks
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    said: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        assert chunk["usage"] is None
        [choice] = chunk["choices"]
        joined = said.setdefault(choice["index"], {"index": choice["index"], "text": "", "logprobs": None})
        assert "finish_reason" not in joined
        joined["text"] += choice["text"]
        if choice["logprobs"]:
            parts = joined["logprobs"] = joined["logprobs"] or dict.fromkeys(choice["logprobs"])
            for name, values in choice["logprobs"].items():
                parts[name] = None if values is None else (parts[name] or []) + values
        if choice["finish_reason"]:
            joined["finish_reason"] = choice["finish_reason"]
            assert "corrected" in chunk["hopfix"]
        else:
            assert "hopfix" not in chunk
    assert [said[index] for index in sorted(said)] == whole["choices"]


@pytest.mark.parametrize("body", [{}, {"logprobs": True, "top_logprobs": 1}, {"n": 2, "max_tokens": 2}])
async def test_a_streamed_chat_is_the_same(connect_demo, body: dict[str, Any]) -> None:
    async with connect_demo() as client:
        whole = (await client.post("/v1/chat/completions", json={"model": "demo", "messages": MESSAGES, **body})).json()
        chunks = await streamed(client, "/v1/chat/completions", messages=MESSAGES, **body)
    for choice in whole["choices"]:
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        assert parts[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(part["delta"].get("content", "") for part in parts) == choice["message"]["content"]
        tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
        assert tokens == (choice["logprobs"]["content"] if choice["logprobs"] else [])
        assert parts[-1]["delta"] == {}
        assert parts[-1]["finish_reason"] == choice["finish_reason"]
    assert all("usage" not in chunk for chunk in chunks)


async def test_what_is_passed_on_comes_token_by_token_and_a_correction_in_one_piece(connect_demo) -> None:
    async with connect_demo() as client:
        plain = await streamed(client, "/v1/completions", prompt=PLAIN)
        corrected = await streamed(client, "/v1/completions", prompt=QUESTION)
    assert [chunk["choices"][0]["text"] for chunk in plain] == [" ", "y", "en", ""]
    [chunk] = corrected
    assert (chunk["choices"][0]["text"], chunk["hopfix"]["corrected"]) == ("Kenichiro Yoshida", True)


async def test_events_are_ascii(connect_demo, demo) -> None:
    """A client that takes every line break of Unicode for the end of a line must not find one inside an event."""
    async with connect_demo() as client:
        response = await client.post(
            "/v1/completions",
            json={"model": "demo", "prompt": "a\u2028é", "echo": True, "max_tokens": 0, "stream": True},
        )
    assert response.text.isascii()
    assert events(response.text)[0]["choices"][0]["text"] == demo.text(demo.tokenizer("a\u2028é")["input_ids"])


async def test_what_fails_before_the_first_event_has_a_status(connect_demo) -> None:
    async with connect_demo() as client:
        body = {"model": "demo", "prompt": PLAIN, "stream": True, "max_tokens": 300}
        response = await client.post("/v1/completions", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert client._transport.app.state.hopfix.admission.taken == 0


class Failing(HFEngine):
    """Says `heard` tokens; then fails, or says nothing more if there is no failure. A single token it says as usual:
    that it is there.
    """

    def __init__(self, loaded: LoadedModel, heard: int, failure: Exception | None = None) -> None:
        super().__init__(loaded)
        self.heard = heard
        self.failure = failure
        self.abandoned = 0

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        if request.sampling.max_tokens == 1:
            return await super().run(request, heard)
        for _ in range(self.heard):
            assert heard is not None
            heard(Step(836, 0.0, ()))
        if self.failure is not None:
            raise self.failure
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        raise AssertionError


Fail = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def connect_failing(demo: LoadedModel) -> Fail:
    @asynccontextmanager
    async def connected(engine: HFEngine, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
        profile = replace(Profile.load(demo_profile_folder()), replay=())
        async with serving(Corrector(demo, engine, profile), **settings) as client:
            await until_ready(client)
            yield client
        await engine.close()

    return connected


BODY = {"model": "demo", "prompt": PLAIN, "stream": True}


@pytest.mark.parametrize(("heard", "status"), [(0, 504), (2, 200)])
async def test_a_deadline_is_a_status_before_the_first_event_and_an_event_after_it(
    connect_failing, demo, heard: int, status: int
) -> None:
    engine = Failing(demo, heard)
    async with connect_failing(engine, deadline_seconds=0.1) as client:
        response = await client.post("/v1/completions", json=BODY)
    assert response.status_code == status
    last = response.text.rstrip("\n").rpartition("\n\n")[2].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == "deadline_exceeded"
    assert "[DONE]" not in response.text
    assert engine.abandoned == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [(EngineUnavailable("the engine is closed"), "engine_unavailable"), (KeyError("x"), "internal")],
)
async def test_a_failure_after_the_first_event_is_an_event(connect_failing, demo, failure, code: str) -> None:
    async with connect_failing(Failing(demo, 1, failure)) as client:
        response = await client.post("/v1/completions", json=BODY)
        assert client._transport.app.state.hopfix.admission.taken == 0
    first, last, rest = response.text.split("\n\n")
    assert (json.loads(first.removeprefix("data: "))["choices"][0]["index"], rest) == (0, "")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["code"] == code
    assert "KeyError" not in error["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_pass(connect_failing, demo, stream: bool) -> None:
    engine = Failing(demo, 3 if stream else 0)
    left = asyncio.Event()
    messages = [{"type": "http.request", "body": json.dumps({**BODY, "stream": stream}).encode()}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        if stream:
            await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            left.set()

    async with connect_failing(engine) as client:
        app = client._transport.app
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/completions",
            "raw_path": b"/v1/completions",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 5),
            "server": ("hopfix", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        await app(scope, receive, send)
        assert engine.abandoned == 1
        assert app.state.hopfix.admission.taken == 0
        assert app.state.hopfix.admission.running == 0
