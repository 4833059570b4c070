"""Connections as bytes: heads have a limit, and an offer of another protocol is not the end of this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from service.http import HEAD, Protocol

pytestmark = pytest.mark.anyio
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope, receive)
    await Response(f"{request.method} {request.url.path} {(await request.body()).decode()}.")(scope, receive, send)


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    config = uvicorn.Config(echo, port=0, lifespan="off", log_config=None, access_log=False, http=Protocol, ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0)
    address = server.servers[0].sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head.split()[1]), (await reader.readexactly(length)).decode()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * HEAD,
        b"GET / HTTP/1.1\r\nCookie: " + b"x" * HEAD,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEAD // 6 + 1),
    ],
)
async def test_a_head_has_a_limit(head: bytes) -> None:
    """It never ends: what has come of it is all that there is to judge by."""
    async with connected() as (reader, writer):
        for start in range(0, len(head), 1000):
            writer.write(head[start : start + 1000])
            await asyncio.sleep(0)
        assert await answer(reader) == (400, f"the request's head is longer than {HEAD} bytes")
        assert await reader.read() == b""


async def test_the_limit_is_of_each_head_and_not_of_bodies() -> None:
    cookie = b"Cookie: " + b"x" * (HEAD // 2) + b"\r\n"
    body = b"x" * (2 * HEAD)
    async with connected() as (reader, writer):
        for _ in range(3):
            writer.write(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % len(body) + cookie + b"\r\n" + body)
            assert await answer(reader) == (200, f"POST /p {body.decode()}.")


async def test_an_offer_to_upgrade_is_not_taken_and_spoils_nothing() -> None:
    """Java's own client makes it in its first request, whatever that is, and asks again on the same connection."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    plain = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n"
    for first, says in (
        (b"POST /first HTTP/1.1\r\nHost: h\r\n" + offer + b"Content-Length: 5\r\n\r\nhello", "POST /first hello."),
        (b"GET /first HTTP/1.1\r\nHost: h\r\n" + offer + b"\r\n", "GET /first ."),
    ):
        async with connected() as (reader, writer):
            writer.write(first[:-2])  # the body comes in pieces
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(first[-2:])
            assert await answer(reader) == (200, says)
            writer.write(plain)
            assert await answer(reader) == (200, "GET /second .")
        async with connected() as (reader, writer):
            writer.write(first + plain)  # in one piece
            assert [await answer(reader), await answer(reader)] == [(200, says), (200, "GET /second .")]


async def test_any_number_of_offers_in_one_piece_is_answered() -> None:
    offers = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" * 2000
    async with connected() as (reader, writer):
        writer.write(offers)
        assert {await answer(reader) for _ in range(2000)} == {(200, "GET / .")}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_said_to_be_that_and_the_connection_ends(nonsense: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(nonsense)
        assert await answer(reader) == (400, "what was received is not HTTP/1.1")
        assert await reader.read() == b""


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with connected() as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)))
        assert [await answer(reader) for _ in range(20)] == [(200, f"GET /{number} .") for number in range(20)]
