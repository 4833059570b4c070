"""`hopfix serve --workers 2`: one service to its clients, whatever becomes of one of its processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

Entry = dict[str, Any]
WITHIN = 120.0


def workers_of(server: Any) -> set[int]:
    """Their processes' ids."""
    children: list[str] = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        children += (task / "children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def number(server: Any, name: str) -> float:
    """A metric's sum over its labels."""
    try:
        text = httpx.get(f"{server.url}/metrics", timeout=60).text
    except httpx.TransportError:  # this may have been asked of the worker that died
        return number(server, name)
    return sum(float(n) for n in re.findall(rf"^{name}(?:{{.*}})? (.+)$", text, re.MULTILINE))


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def server(start_server: Any) -> Iterator[Any]:
    server = start_server("--workers", "2", "--log-format", "json")
    server.wait_until_ready()
    wait_for(lambda: number(server, "hopfix_ready") == 2)
    yield server
    workers = workers_of(server)
    assert server.stop() == 0
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    for line in server.log.read_text().splitlines():
        assert json.loads(line)["pid"]


def test_a_killed_worker_loses_what_it_was_running_and_nothing_else(server: Any, replay: list[Entry]) -> None:
    clients, lost, counted = 16, [], [0.0]
    stop = asyncio.Event()

    async def ask(numbers: Iterator[int]) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=WITHIN) as client:
            while not stop.is_set():
                n = next(numbers)
                entry = replay[n % len(replay)]
                asked = {"id": str(n), "question": entry["question"], "hop1": entry["hop1"], "hop2": entry["hop2"]}
                try:
                    response = await client.post("/v1/answer", json=asked)
                except httpx.TransportError as error:
                    lost.append(error)
                    continue
                answer = response.json()
                assert (response.status_code, answer["id"], answer["answer"]) == (200, str(n), entry["answer"]), answer

    async def watch() -> None:
        """Counters never go backwards."""
        while not stop.is_set():
            counted.append(await asyncio.to_thread(number, server, "hopfix_answers_total"))
            await asyncio.sleep(0.1)

    async def kill() -> None:
        try:
            await until(lambda: counted[-1] > 200)
            before = workers_of(server)
            os.kill(min(before), signal.SIGKILL)
            await until(lambda: len(workers_of(server)) == 2 and workers_of(server) != before)
            at = counted[-1]
            await until(lambda: number(server, "hopfix_ready") == 2)
            await until(lambda: counted[-1] > at + 200)
        finally:
            stop.set()

    async def until(what: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_for, what)

    async def everything() -> None:
        numbers = count()
        await asyncio.gather(kill(), watch(), *(ask(numbers) for _ in range(clients)))

    asyncio.run(everything())
    assert len(lost) <= clients  # at most what each client had asked when the worker died
    assert counted == sorted(counted)
    assert number(server, "hopfix_workers") == 2
    assert len([line for line in server.log.read_text().splitlines() if "another starts" in line]) == 1


def test_a_profile_is_reloaded_in_every_worker(server: Any) -> None:
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: number(server, "hopfix_reloads_total") == 2)
    assert httpx.post(f"{server.url}/v1/profile/reload", timeout=60).status_code == 200
    wait_for(lambda: number(server, "hopfix_reloads_total") == 4)


def test_no_worker_outlives_its_supervisor(start_server: Any) -> None:
    server = start_server("--workers", "2")
    server.wait_until_ready()
    wait_for(lambda: len(workers_of(server)) == 2)
    workers = workers_of(server)
    environment = Path(f"/proc/{min(workers)}/environ").read_text()
    (numbers,) = re.findall(r"PROMETHEUS_MULTIPROC_DIR=([^\0]+)", environment)
    assert list(Path(numbers).iterdir())
    server.stop(signal.SIGKILL)
    wait_for(lambda: not [worker for worker in workers if Path(f"/proc/{worker}").exists()])
    assert not Path(numbers).exists()


def test_a_model_that_is_not_there_ends_all(run_hopfix: Any) -> None:
    done = run_hopfix("serve", "--port", "0", "--workers", "2", "--model", "/nowhere", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert done.stderr.count("hopfix: cannot load the model '/nowhere'") == 1
    assert "Traceback" not in done.stderr
