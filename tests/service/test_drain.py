"""Told to stop: what has a place is answered, what comes is sent elsewhere. Slow clients hold nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import Response

from service import body as body_module
from service import server as server_module
from service.app import create_app
from service.commands.serve import READER_MILLISECONDS, listen
from service.http import Protocol
from service.server import Server
from service.settings import Settings
from service.state import State

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(corrector) -> AsyncIterator[tuple[State, httpx.AsyncClient]]:
    app = create_app(Settings.read(model="stand-in", deadline_seconds=0.2), corrector)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hopfix") as client,
    ):
        await asyncio.sleep(0.01)
        yield app.state.hopfix, client


async def test_new_questions_are_sent_elsewhere_and_old_ones_go_on(
    service: tuple[State, httpx.AsyncClient], corrector
) -> None:
    state, client = service
    old = asyncio.create_task(client.post("/v1/answer", json=[{"question": "wait"}, {"question": "Q"}]))
    await corrector.waiting.wait()
    state.drain()
    for refused in (await client.post("/v1/answer", json={"question": "Q"}), await client.get("/ready")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert (refused.headers["Connection"], refused.headers["Retry-After"]) == ("close", "1")
    assert (await client.get("/health")).status_code == 200
    assert "hopfix_ready 0.0" in (await client.get("/metrics")).text
    waited, answered = (await old).json()
    assert waited["error"]["code"] == "deadline_exceeded"
    assert answered["answer"] == "answer to Q"


async def test_the_server_closes_when_nothing_has_a_place(service: tuple[State, httpx.AsyncClient]) -> None:
    state, _ = service
    server = Server(uvicorn.Config("none:none"), state)
    assert not await server.on_tick(1)
    with state.admission.reserve("a"):
        server.handle_exit(signal.SIGTERM, None)
        assert state.draining
        assert not await server.on_tick(1)
    assert await server.on_tick(1)


async def test_the_server_waits_for_the_deadline_and_no_longer(service: tuple[State, httpx.AsyncClient]) -> None:
    state, _ = service
    server = Server(uvicorn.Config("none:none"), state)
    with state.admission.reserve("a"):
        server.handle_exit(signal.SIGTERM, None)
        assert not await server.on_tick(1)
        await asyncio.sleep(0.21)
        assert await server.on_tick(1)


async def test_a_second_signal_closes_at_once(service: tuple[State, httpx.AsyncClient]) -> None:
    state, _ = service
    server = Server(uvicorn.Config("none:none"), state)
    with state.admission.reserve("a"):
        server.handle_exit(signal.SIGTERM, None)
        server.handle_exit(signal.SIGTERM, None)
        assert await server.on_tick(1)


async def test_a_body_that_trickles_in_is_given_up_and_holds_no_place(
    service: tuple[State, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, client = service
    held: list[int] = []
    monkeypatch.setattr(body_module, "SECONDS", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            held.append(state.admission.taken)
            await asyncio.sleep(0.01)

    response = await client.post("/v1/answer", content=trickle())
    assert (response.status_code, response.json()["error"]["code"]) == (408, "too_slow")
    assert response.headers["Connection"] == "close"
    assert set(held) == {0}


async def test_a_client_may_have_less_time_than_the_service(service: tuple[State, httpx.AsyncClient]) -> None:
    _, client = service
    body = {"question": "wait"}
    late = await client.post("/v1/answer", json=body, headers={"X-Deadline-Seconds": "0.01"})
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert "within 0.01 seconds" in late.json()["error"]["message"]
    wrong = await client.post("/v1/answer", json=body, headers={"X-Deadline-Seconds": "soon"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "X-Deadline-Seconds")


async def test_a_connection_on_which_half_a_head_comes_is_closed_and_others_are_not(
    service: tuple[State, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = service
    monkeypatch.setattr(server_module, "HEAD", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await Response("late")(scope, receive, send)

    with listen("127.0.0.1", 0) as listening:
        server = Server(uvicorn.Config(app, lifespan="off", log_config=None, http=Protocol), state)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0)
        (half, sends), (late, asks) = [await asyncio.open_connection(*listening.getsockname()) for _ in range(2)]
        sends.write(b"GET /ready HTTP/1.1\r\nHost: ")
        asks.write(b"GET /ready HTTP/1.1\r\nHost: hopfix\r\nConnection: close\r\n\r\n")
        while len(server.server_state.connections) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)  # what they sent has been read
        await server.on_tick(10)
        await asyncio.sleep(0.06)
        await server.on_tick(20)
        assert await half.read() == b""
        assert (await late.read()).endswith(b"late")
        for writer in (sends, asks):
            writer.close()
        server.should_exit = True
        await serving


def test_the_kernel_ends_connections_of_readers_that_take_nothing() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == READER_MILLISECONDS


async def test_a_body_does_not_wait_until_its_head_was_acknowledged() -> None:
    """Nagle's algorithm would hold it back for the 40 ms in which clients put off their acknowledgement."""
    found = []

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen("127.0.0.1", 0) as listening:
        async with await asyncio.start_server(look, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()
    assert found == [1]
