"""Two `hopfix serve` processes behind a real nginx that runs docs/nginx.conf: what docs/scale.md promises operators.

Nothing a client sees may depend on which replica it reached, and replicas may stop, die, load and be full.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CONFIGURATION = Path(__file__).parents[2] / "docs" / "nginx.conf"
# What a distribution's own nginx.conf does around conf.d/, but in a folder of the test's and with a log of every try.
AROUND = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_format tries escape=json '{{"status": $status, "replicas": "$upstream_addr", "statuses": "$upstream_status"}}';
    access_log {folder}/access.log tries;
    include {folder}/hopfix.conf;
}}
"""
LIMIT = 64  # small, so that a test can fill a replica
Entry = dict[str, Any]
Asked = list[tuple[Any, Any]]

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed: run 'make nginx' as root, or install the package nginx"
)


@dataclass(frozen=True)
class Handled:
    """A request as nginx saw it: the status that the client got, and each try's replica and status."""

    status: int
    tries: tuple[tuple[str, int], ...]


class Cluster:
    """Two replicas, and nginx at `url`."""

    def __init__(self, folder: Path, launch: Any) -> None:
        self._folder = folder
        self._launch = launch
        self._nginx: subprocess.Popen[bytes] | None = None
        self.replicas: list[Any] = []
        self.url = f"http://127.0.0.1:{_free_port()}"

    def start(self) -> None:
        """Starts all three; returns when they listen, before the replicas are ready."""
        for number in range(2):
            self.replicas.append(self._start(number, 0))
        self._start_nginx()

    def _start(self, number: int, port: int) -> Any:
        folder = self._folder / f"replica{number}"
        folder.mkdir(exist_ok=True)
        limits = ("--max-in-flight", str(LIMIT), "--max-questions", str(LIMIT))
        return self._launch(folder, "--port", str(port), *limits)

    def _start_nginx(self) -> None:
        places = {"127.0.0.1:8080": self.url.removeprefix("http://")}
        places |= {f"127.0.0.1:800{number + 1}": self.address(number) for number in range(2)}
        text = CONFIGURATION.read_text(encoding="utf-8")
        for place, address in places.items():
            assert text.count(place) == 1, f"{place} is what {CONFIGURATION.name} says once, and what is exchanged here"
            text = text.replace(place, address)
        (self._folder / "hopfix.conf").write_text(text)
        main = self._folder / "nginx.conf"
        main.write_text(AROUND.format(folder=self._folder))
        assert NGINX
        with (self._folder / "nginx.log").open("wb") as log:
            self._nginx = subprocess.Popen([NGINX, "-c", str(main)], stdout=log, stderr=log)
        wait_for(self._nginx_listens)

    def _nginx_listens(self) -> bool:
        assert self._nginx
        assert self._nginx.poll() is None, (self._folder / "nginx.log").read_text()
        try:
            return httpx.get(f"{self.url}/metrics").status_code == 404
        except httpx.ConnectError:
            return False

    def address(self, number: int) -> str:
        return str(self.replicas[number].url.removeprefix("http://"))

    def restart(self, number: int) -> None:
        """A replica at the address it had; returns when it listens, before it is ready."""
        self.replicas[number] = self._start(number, int(self.address(number).rsplit(":", 1)[1]))

    def heal(self) -> None:
        for number, replica in enumerate(self.replicas):
            if replica.process.poll() is not None:
                self.restart(number)
        for replica in self.replicas:
            replica.wait_until_ready()

    def close(self) -> None:
        for replica in self.replicas:
            if replica.process.poll() is None:
                replica.stop(signal.SIGKILL)
        if self._nginx is not None:
            self._nginx.terminate()
            self._nginx.wait(20)

    def answered(self, number: int) -> int:
        """How many questions a replica has answered since it started."""
        text = httpx.get(f"{self.replicas[number].url}/metrics", timeout=60).text
        return int(sum(float(n) for n in re.findall(r"^hopfix_answers_total\{.*\} (.+)$", text, re.MULTILINE)))

    def in_flight(self, number: int) -> int:
        text = httpx.get(f"{self.replicas[number].url}/metrics", timeout=60).text
        found = re.search(r"^hopfix_questions_in_flight (.+)$", text, re.MULTILINE)
        assert found
        return int(float(found[1]))

    def handled(self) -> list[Handled]:
        """All requests so far."""
        requests = []
        for line in (self._folder / "access.log").read_text().splitlines():
            entry = json.loads(line)
            replicas = [name for name in entry["replicas"].split(", ") if name]
            statuses = [int(status) if status.isdigit() else 0 for status in entry["statuses"].split(", ") if status]
            requests.append(Handled(entry["status"], tuple(zip(replicas, statuses, strict=True))))
        return requests

    def handled_since(self, before: int, count: int) -> list[Handled]:
        """The next `count` requests; nginx writes its log just after a client has its answer."""
        wait_for(lambda: len(self.handled()) >= before + count)
        return self.handled()[before:]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory, launch: Any) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), launch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # docs/scale.md says why
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """Both replicas ready, whatever the test before did to them."""
    _cluster.heal()
    return _cluster


def questions(replay: list[Entry], count: int) -> Asked:
    """`count` requests, with the id and the answer each must have."""
    asked: Asked = []
    for index in range(count):
        entry = replay[index % len(replay)]
        hops = {"hop1": entry["hop1"], "hop2": entry["hop2"]}
        request = {"id": f"q{index}", **hops, **({"question": entry["question"]} if index % 2 else {})}
        asked.append((request, (f"q{index}", entry["answer"])))
    return asked


def lists(replay: list[Entry], count: int, length: int) -> Asked:
    """`count` requests of `length` questions each."""
    asked = questions(replay, count * length)
    parts = [asked[start : start + length] for start in range(0, len(asked), length)]
    return [([request for request, _ in part], [expected for _, expected in part]) for part in parts]


async def ask(url: str, body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        return await client.post("/v1/answer", json=body)


async def ask_all(url: str, asked: Iterable[tuple[Any, Any]], clients: int = 8) -> None:
    """Clients that take the next request as soon as they have an answer; every answer must be the right one."""
    waiting = iter(asked)

    async def take_turns() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            for request, expected in waiting:
                check(await client.post("/v1/answer", json=request), expected)

    await asyncio.gather(*(take_turns() for _ in range(clients)))


def check(response: httpx.Response, expected: Any) -> None:
    assert response.status_code == 200, response.text
    got = response.json()
    if isinstance(expected, list):
        assert [(answer["id"], answer["answer"]) for answer in got] == expected
    else:
        assert (got["id"], got["answer"]) == expected


def test_many_clients_each_get_their_own_answers_and_both_replicas_take_part(
    cluster: Cluster, replay: list[Entry]
) -> None:
    before = [cluster.answered(number) for number in range(2)]
    asyncio.run(ask_all(cluster.url, questions(replay, 160)))
    shares = [cluster.answered(number) - before[number] for number in range(2)]
    assert sum(shares) == 160
    assert min(shares) > 0


def test_an_answer_does_not_depend_on_the_replica_that_gave_it(cluster: Cluster, replay: list[Entry]) -> None:
    """Not the text alone: the bridge, the patch and the confidence are the same. Only the time it took is not."""
    body = [request for request, _ in questions(replay, len(replay))]
    given = []
    for url in (cluster.url, *(replica.url for replica in cluster.replicas)):
        given.append(httpx.post(f"{url}/v1/answer", json=body, timeout=120).json())
    for answers in zip(*given, strict=True):
        plain = [_rounded({name: value for name, value in one.items() if name != "timings_ms"}) for one in answers]
        assert plain[0] == plain[1] == plain[2]


def _rounded(value: Any) -> Any:
    """Batches are as they come, and sums of floats with them."""
    match value:
        case float():
            return pytest.approx(value, abs=1e-4)
        case dict():
            return {name: _rounded(one) for name, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


def test_what_a_client_sees_is_hopfixs_own(cluster: Cluster) -> None:
    """Errors keep hopfix's body, limits are hopfix's; /metrics is each replica's own and not to be had here."""
    with httpx.Client(base_url=cluster.url, timeout=60) as client:
        assert client.get("/ready").json()["status"] == "ready"
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["demo", "demo:direct"]
        refused = client.post("/v1/answer", json={"questoin": "?"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "questoin")
        large = client.post("/v1/answer", content=b"x" * (3 << 19))
        assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
        assert client.get("/metrics").status_code == 404


def test_a_full_replica_is_passed_over_and_when_all_are_full_the_client_hears_429(
    cluster: Cluster, replay: list[Entry]
) -> None:
    """Limits are each replica's own. Nobody is struck off for being full: the next question is answered.

    A list makes do with one place while others need places too; there are more lists than the replicas have places.
    """
    before = len(cluster.handled())
    full = lists(replay, 3 * LIMIT, 6)

    async def all_at_once() -> list[httpx.Response]:
        return await asyncio.gather(*(ask(cluster.url, body) for body, _ in full))

    refused = 0
    for response, (_, expected) in zip(asyncio.run(all_at_once()), full, strict=True):
        if response.status_code == 429:
            refused += 1
            assert response.headers["Retry-After"]
            assert response.json()["error"]["code"] == "overloaded"
        else:
            check(response, expected)
    assert 0 < refused < len(full)
    for handled in cluster.handled_since(before, len(full)):
        if handled.status == 429:
            assert {replica for replica, _ in handled.tries} == {cluster.address(0), cluster.address(1)}
    asyncio.run(ask_all(cluster.url, questions(replay, 4)))


def test_a_replica_told_to_stop_finishes_what_it_began_and_no_request_is_lost(
    cluster: Cluster, replay: list[Entry]
) -> None:
    """The load goes on before, while and after the replica stops: 6 clients, 8 questions a request."""
    before = len(cluster.handled())
    stopped, url = cluster.replicas[0], cluster.replicas[0].url
    [(begun, expected)] = lists(replay, 1, LIMIT // 2)
    over = False
    load = itertools.takewhile(lambda _: not over, itertools.cycle(lists(replay, 20, 8)))

    async def stop_under_load() -> None:
        nonlocal over
        asking = asyncio.create_task(ask_all(cluster.url, load, clients=6))

        async def until(condition: Callable[[], bool]) -> None:
            for _ in range(3000):
                if asking.done():
                    asking.result()  # a client that went wrong is why nothing goes on
                if condition():
                    return
                await asyncio.sleep(0.02)
            raise AssertionError

        await until(lambda: len(cluster.handled()) >= before + 10)
        direct = asyncio.create_task(ask(url, begun))  # straight to the replica: nobody would ask it again elsewhere
        while await asyncio.to_thread(cluster.in_flight, 0) <= 6 * 8:
            if direct.done():  # too early to have been in flight when the signal comes
                direct = asyncio.create_task(ask(url, begun))
        stopped.process.send_signal(signal.SIGTERM)
        check(await direct, expected)
        await until(lambda: stopped.process.poll() is not None)
        ended = len(cluster.handled())
        await until(lambda: len(cluster.handled()) >= ended + 20)
        over = True
        await asking

    asyncio.run(stop_under_load())
    assert stopped.process.returncode == 0
    requests = cluster.handled()[before:]
    assert {handled.status for handled in requests} == {200}
    tries = {handled.tries for handled in requests}
    assert ((cluster.address(0), 200),) in tries
    assert ((cluster.address(0), 502), (cluster.address(1), 200)) in tries


def test_a_replica_that_is_loading_is_passed_over_and_then_takes_part(cluster: Cluster, replay: list[Entry]) -> None:
    cluster.replicas[0].stop()
    before = len(cluster.handled())
    asyncio.run(ask_all(cluster.url, questions(replay, 8), clients=2))
    assert {handled.tries[-1] for handled in cluster.handled_since(before, 8)} == {(cluster.address(1), 200)}

    cluster.restart(0)
    before += 8
    asyncio.run(ask_all(cluster.url, questions(replay, 8), clients=2))
    passed_over = ((cluster.address(0), 503), (cluster.address(1), 200))
    assert passed_over in {handled.tries for handled in cluster.handled_since(before, 8)}

    cluster.replicas[0].wait_until_ready()
    asyncio.run(ask_all(cluster.url, questions(replay, 16)))
    assert cluster.answered(0) > 0


def test_a_replica_that_is_killed_loses_nothing_that_it_had_taken(cluster: Cluster, replay: list[Entry]) -> None:
    """The worst moment, made certain: a frozen replica has taken requests and answered none when it is killed.

    nginx asks them again elsewhere. A client would lose one only if the replica died between the first and the last
    byte of its answer, which is sent in one go.
    """
    before = len(cluster.handled())
    asked = questions(replay, 24)
    killed = cluster.replicas[1]
    killed.process.send_signal(signal.SIGSTOP)

    async def kill_under_load() -> None:
        tasks = [asyncio.create_task(ask(cluster.url, request)) for request, _ in asked]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # the other replica goes on answering
        _, pending = await asyncio.wait(tasks, timeout=1)
        assert pending, "the frozen one has taken its share"
        killed.process.kill()
        for task, (_, expected) in zip(tasks, asked, strict=True):
            check(await task, expected)

    asyncio.run(kill_under_load())
    killed.process.wait(20)
    requests = cluster.handled_since(before, len(asked))
    asked_again = ((cluster.address(1), 502), (cluster.address(0), 200))
    assert asked_again in {handled.tries for handled in requests}
    assert {handled.status for handled in requests} == {200}

    asyncio.run(ask_all(cluster.url, questions(replay, 16)))
    cluster.restart(1)
    cluster.replicas[1].wait_until_ready()
    asyncio.run(ask_all(cluster.url, questions(replay, 16)))
    assert cluster.answered(1) > 0


def test_with_no_replica_left_the_client_hears_502(cluster: Cluster) -> None:
    """The one answer that is nginx's: there is nobody else to give one."""
    for replica in cluster.replicas:
        replica.stop(signal.SIGKILL)
    response = httpx.post(f"{cluster.url}/v1/answer", json={"question": "What is the capital of France?"}, timeout=60)
    assert response.status_code == 502
