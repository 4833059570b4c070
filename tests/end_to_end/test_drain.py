"""`hopfix serve` told to stop under load, and with readers that do not read: real processes, real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx

Entry = dict[str, Any]


def test_stopped_under_load_every_question_is_answered_right_or_refused(start_server: Any, replay: list[Entry]) -> None:
    """What was sent before the signal is answered, or told to go elsewhere if it was read after it; nothing is lost."""
    server = start_server()
    server.wait_until_ready()
    told, some = asyncio.Event(), asyncio.Event()
    answered, refused, unconnected = 0, 0, 0

    async def ask(client: httpx.AsyncClient, numbers: Any) -> None:
        """Asks until the server is gone."""
        nonlocal answered, refused, unconnected
        for number in numbers:
            entry = replay[number % len(replay)]
            asked = {"id": str(number), "question": entry["question"], "hop1": entry["hop1"], "hop2": entry["hop2"]}
            before = told.is_set()
            try:
                response = await client.post("/v1/answer", json=asked)
            except httpx.TransportError:
                assert before, "a question that was sent before the signal has been lost"
                unconnected += 1
                return
            if response.status_code == 200:
                assert (response.json()["id"], response.json()["answer"]) == (asked["id"], entry["answer"])
                answered += 1
                if answered % 50 == 0:
                    some.set()
            else:
                assert told.is_set()
                assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")
                assert response.headers["Retry-After"]
                assert response.headers["Connection"] == "close"
                refused += 1

    async def list_of_many(client: httpx.AsyncClient) -> None:
        entries = [replay[n % len(replay)] for n in range(200)]
        asked = [{"id": str(n), "hop1": e["hop1"], "hop2": e["hop2"] + " " * n} for n, e in enumerate(entries)]
        answers = (await client.post("/v1/answer", json=asked)).json()
        assert [answer["id"] for answer in answers] == [entry["id"] for entry in asked]
        assert all(answer["answer"] for answer in answers)

    async def load() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            asking = [asyncio.create_task(ask(client, count(n, 16))) for n in range(16)]
            await some.wait()
            some.clear()
            listed = asyncio.create_task(list_of_many(client))
            await some.wait()
            told.set()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.gather(listed, *asking)

    asyncio.run(load())
    assert refused
    assert unconnected == 16
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_reader_who_reads_nothing_holds_no_place(start_server: Any) -> None:
    server = start_server("--deadline-seconds", "1")
    server.wait_until_ready()
    body = json.dumps([{}] * 20_000).encode()
    address = urlsplit(server.url)
    head = (
        "POST /v1/answer HTTP/1.1\r\nHost: hopfix\r\nAccept: application/x-ndjson\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as reader, httpx.Client(base_url=server.url) as client:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((address.hostname, address.port))
        reader.sendall(head.encode() + body)

        def held() -> float:
            found = re.search(r"^hopfix_questions_in_flight (\S+)", client.get("/metrics").text, re.MULTILINE)
            assert found
            return float(found[1])

        while not held():
            time.sleep(0.05)
        while held():
            time.sleep(0.05)
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
