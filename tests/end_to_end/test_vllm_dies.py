"""vLLM is killed under load: no request is lost or answered wrong, operators are told, and vLLM is back by itself.

In the process of `hopfix serve`, which starts another, and as a server of its own, which its operator starts again.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Server, start
from tests.end_to_end.test_server import vary
from tests.vllm_server import KEY, VLLMServer, engine_of, missing

pytestmark = [pytest.mark.vllm, pytest.mark.skipif(bool(missing()), reason=missing() or "-")]
BACK_WITHIN = 240  # seconds; 90 are promised on an idle machine, which a CI machine under this load is not
CLIENTS = 4


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Server]:
    server = start(folder, *arguments)
    try:
        server.wait_until_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


def trouble(server: Server, engine: str) -> str | None:
    """What /ready says is wrong: beside its 200 while the custom forward answers all the same, else with a 503."""
    response = httpx.get(f"{server.url}/ready", timeout=30)
    if response.status_code == 200:
        assert engine == "hf+vllm" or response.json()["trouble"] is None
        return response.json()["trouble"]
    assert (engine, response.status_code, response.headers["Retry-After"]) == ("vllm", 503, "1")
    return str(response.json()["error"]["message"])


def metric(server: Server, name: str) -> float:
    """The sum over a metric's labels."""
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", lines, re.M))


def answered_by(server: Server) -> str:
    """The engine that runs unpatched passes: it says so where an answer falls back."""
    question = {"question": "What is the capital of France?"}
    response = httpx.post(f"{server.url}/v1/answer", json=question, timeout=60)
    if response.status_code == 503:
        return "none"
    assert response.json()["answer"] == "Paris"
    return str(response.json()["fallback"]["engine"])


class Load:
    """Clients that ask without a pause, every other question in two text calls, and check each answer."""

    def __init__(self, server: Server, replay: list[dict[str, Any]]) -> None:
        self.server = server
        self.asked = vary(replay, 40)
        self.answers = 0
        self.others: Counter[str] = Counter()  # what came that was not a right answer
        self.retried: Counter[str | None] = Counter()  # Retry-After of those that were told to come back

    async def client(self, number: int, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=self.server.url, timeout=120) as client:
            while not stop.is_set():
                number += 1
                request, expected = self.asked[number % len(self.asked)]
                strategy = "two_step" if number % 2 else "deployed"
                try:
                    response = await client.post("/v1/answer", json={**request, "strategy": strategy})
                except httpx.HTTPError as error:
                    self.others[repr(error)] += 1
                    continue
                if response.status_code == 503:
                    self.retried[response.headers.get("Retry-After")] += 1
                    await asyncio.sleep(0.1)
                elif response.status_code == 200 and response.json()["answer"] == expected:
                    self.answers += 1
                else:
                    self.others[response.text] += 1

    async def during(self, what: Callable[[], None]) -> None:
        """Asks while `what` happens, and a little before and after it."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self.client(5 * number, stop))
            await asyncio.sleep(2)
            await asyncio.to_thread(what)
            await asyncio.sleep(2)
            stop.set()


def check_recovery(
    server: Server, engine: str, load: Load, kill: Callable[[], None], repair: Callable[[], None]
) -> None:
    both = engine == "hf+vllm"

    def die_and_come_back() -> None:
        began = time.monotonic()
        kill()
        while not trouble(server, engine):
            assert time.monotonic() - began < 30
            time.sleep(0.05)
        noticed = time.monotonic() - began
        assert metric(server, "hopfix_engine_up") == 0
        assert metric(server, "hopfix_ready") == both
        assert answered_by(server) == ("hf" if both else "none")
        repair()
        while trouble(server, engine):
            assert time.monotonic() - began < BACK_WITHIN, server.log.read_text()
            time.sleep(0.2)
        print(f"noticed after {noticed:.2f} s, back after {time.monotonic() - began:.1f} s")  # noqa: T201

    assert answered_by(server) == "vllm"
    asyncio.run(load.during(die_and_come_back))
    print(f"{load.answers} right answers, retry later: {dict(load.retried)}, others: {dict(load.others)}")  # noqa: T201
    assert load.answers > 100
    assert not load.others
    assert load.retried.keys() == (set() if both else {"1"})
    assert answered_by(server) == "vllm"
    assert metric(server, "hopfix_engine_up") == 1
    assert metric(server, "hopfix_engine_restarts_total") == 1
    assert (metric(server, "hopfix_standins_total") > 0) is both
    log = server.log.read_text()
    assert log.count("vLLM does not answer, another is started") == 1
    assert log.count("vLLM answers again after") == 1


@pytest.mark.parametrize(("engine", "end"), [("hf+vllm", signal.SIGTERM), ("vllm", signal.SIGKILL)])
def test_in_this_process(engine: str, end: int, tmp_path: Path, replay: list[dict[str, Any]]) -> None:
    """Whether hopfix is stopped or killed itself in the end, no vLLM is left."""
    with served(tmp_path, "--engine", engine) as server:
        kill = partial(os.kill, engine_of(server.process.pid), signal.SIGKILL)
        check_recovery(server, engine, Load(server, replay), kill, repair=lambda: None)
        left = Path(f"/proc/{engine_of(server.process.pid)}")
        assert server.stop(end) == (0 if end == signal.SIGTERM else -end), server.log.read_text()
    deadline = time.monotonic() + 30
    while left.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_as_a_server_of_its_own(tmp_path: Path, replay: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    vllm = VLLMServer(tmp_path)
    vllm.start()
    monkeypatch.setenv("HOPFIX_VLLM_KEY", KEY)
    try:
        vllm.wait_until_ready()
        with served(tmp_path, "--engine", "hf+vllm", "--vllm-url", vllm.url) as server:
            assert KEY not in server.log.read_text()

            def repair() -> None:
                vllm.process.wait(60)  # vLLM's server ends itself when its engine is dead
                vllm.start()

            check_recovery(server, "hf+vllm", Load(server, replay), vllm.kill_engine, repair)
    finally:
        vllm.stop()
