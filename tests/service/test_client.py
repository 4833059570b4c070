"""The Python client's errors and retries, on canned responses; end_to_end/test_client.py asks a real service."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service import client as public
from service.client import (
    AsyncClient,
    Busy,
    Client,
    ClientError,
    OutOfTime,
    Retries,
    ServerFailed,
    Unavailable,
    Unreachable,
    calls,
)

DETAIL = {"message": "no", "type": "t", "param": "question", "code": "c"}
ANSWER = {
    "id": None,
    "answer": "A",
    "strategy": "direct",
    "corrected": False,
    "direct_answer": "A",
    "bridge": None,
    "hops": [],
    "patch": None,
    "profile": None,
    "confidence": None,
    "fallback": None,
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "passes": 1, "layer_tokens": 1},
    "timings_ms": {},
}


class Canned:
    """Responses in turn; remembers what was asked."""

    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self.responses = list(responses)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        given = self.responses.pop(0)
        if isinstance(given, Exception):
            raise given
        return given


def refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": DETAIL}, headers={"X-Request-ID": "r", **headers})


def answered() -> httpx.Response:
    return httpx.Response(200, json=ANSWER)


def client(canned: Callable[[httpx.Request], httpx.Response], **options: object) -> Client:
    return Client("http://hopfix", transport=httpx.MockTransport(canned), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "Refused"),
        (401, "NotAuthorised"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (413, "Refused"),
        (422, "Refused"),
        (429, "Busy"),
        (500, "ServerFailed"),
        (502, "ServerFailed"),
        (503, "Unavailable"),
        (504, "OutOfTime"),
    ],
)
def test_each_status_has_its_error(status: int, kind: str) -> None:
    with client(Canned(refused(status)), retries=Retries(0)) as hopfix, pytest.raises(ClientError) as caught:
        hopfix.answer("Q")
    error = caught.value
    assert type(error) is getattr(public, kind)
    assert (error.status, error.code, error.param, error.message, error.request_id) == (
        status,
        "c",
        "question",
        "no",
        "r",
    )


def test_what_is_busy_is_asked_again_as_often_as_is_allowed() -> None:
    canned = Canned(refused(429, **{"Retry-After": "0"}), refused(503, **{"Retry-After": "0"}), answered())
    with client(canned) as hopfix:
        assert hopfix.answer("Q").answer == "A"
    assert len({request.content for request in canned.asked}) == 1
    canned = Canned(*[refused(429, **{"Retry-After": "0"})] * 3)
    with client(canned, retries=Retries(2)) as hopfix, pytest.raises(Busy) as caught:
        hopfix.answer("Q")
    assert (len(canned.asked), caught.value.retry_after) == (3, 0)


def test_a_wait_that_is_too_long_is_not_waited() -> None:
    canned = Canned(refused(503, **{"Retry-After": "31"}))
    with client(canned) as hopfix, pytest.raises(Unavailable) as caught:
        hopfix.answer("Q")
    assert (len(canned.asked), caught.value.retry_after) == (1, 31)


def test_the_wait_is_what_the_service_asks_for_or_grows() -> None:
    retries = Retries(most=3, longest=30)
    assert 7 <= retries.wait(Busy("", retry_after=7), 1) <= 8.4
    assert [1 <= retries.wait(Busy(""), 1) <= 1.2, 4 <= retries.wait(Busy(""), 3) <= 4.8] == [True, True]
    with pytest.raises(Busy):
        retries.wait(Busy(""), 4)


@pytest.mark.parametrize("broken", [httpx.ConnectError("refused"), httpx.ReadError("reset")])
def test_no_connection_is_an_error_of_its_own(broken: Exception) -> None:
    with client(Canned(broken)) as hopfix, pytest.raises(Unreachable, match="to http://hopfix ") as caught:
        hopfix.answer("Q")
    assert caught.value.status is None


def test_a_password_in_the_url_is_not_in_the_error() -> None:
    transport = httpx.MockTransport(Canned(httpx.ReadTimeout("")))
    with Client("http://me:secret@hopfix:81", transport=transport) as hopfix, pytest.raises(OutOfTime) as caught:
        hopfix.answer("Q")
    assert caught.value.message == "no answer in time from http://hopfix:81 (ReadTimeout)"


def test_a_stream_that_breaks_names_the_service_too() -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            raise httpx.ReadError("reset")

    canned = Canned(httpx.Response(200, stream=Broken()))
    with client(canned) as hopfix, pytest.raises(Unreachable, match="http://hopfix"):
        list(hopfix.stream(["Q"]))


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", json.dumps({**ANSWER, "answer": 1}).encode()])
def test_what_is_no_answer_is_said(content: bytes) -> None:
    with client(Canned(httpx.Response(200, content=content))) as hopfix, pytest.raises(ServerFailed, match="no answer"):
        hopfix.answer("Q")


def test_a_proxys_page_is_an_error_with_its_status() -> None:
    with (
        client(Canned(httpx.Response(502, text="<h1>Bad Gateway</h1>"))) as hopfix,
        pytest.raises(ServerFailed) as caught,
    ):
        hopfix.answer("Q")
    assert (caught.value.status, caught.value.code) == (502, None)


def test_a_line_ends_at_a_line_feed_alone() -> None:
    odd = {**ANSWER, "answer": "a\u2028b\x85c"}
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in (odd, {"id": "b", "error": DETAIL}))
    with client(Canned(httpx.Response(200, text=lines))) as hopfix:
        first, second = hopfix.stream(["Q", "R"])
    assert (first.answer, second.error.code) == ("a\u2028b\x85c", "c")  # type: ignore[union-attr]


def test_the_key_is_sent_as_it_is() -> None:
    canned = Canned(answered())
    with client(canned, key="k\u00e9y") as hopfix:
        hopfix.answer("Q")
    assert dict(canned.asked[0].headers.raw)[b"Authorization"] == "Bearer k\u00e9y".encode()


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same() -> None:
    canned = Canned(refused(429, **{"Retry-After": "0"}), answered(), refused(400))
    async with AsyncClient("http://hopfix", transport=httpx.MockTransport(canned)) as hopfix:
        assert (await hopfix.answer("Q")).answer == "A"
        with pytest.raises(ClientError) as caught:
            await hopfix.answer("Q")
    assert caught.value.status == 400


def test_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ssl.SSLContext] = []

    def reading(*given: Any, **options: Any) -> ssl.SSLContext:
        read.append(context(*given, **options))
        return read[-1]

    context = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", reading)
    calls.certificates.cache_clear()
    for _ in range(2):
        Client("https://hopfix").close()
        asyncio.run(AsyncClient("https://hopfix").close())
    assert len(read) == 1


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


def test_it_imports_neither_torch_nor_a_web_framework() -> None:
    heavy = "{'torch', 'transformers', 'fastapi', 'starlette'}"
    code = f"import sys, service.client; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
