"""Faults that operators meet, each with its promise in docs/promises.md: real processes and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from safetensors.torch import load_file, save_file

from correction.models import demo_folder, demo_profile_folder
from correction.profile import Profile

Entry = dict[str, Any]
WALKMAN = {"question": "Who runs the company that makes the Walkman?"}
ANSWER = "Kenichiro Yoshida"
LATE = 60.0  # seconds after which something that should come counts as never coming


@pytest.fixture(scope="module")
def faulty(launch: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that other tests' clients do not share; whatever they do to it, it is well in the end."""
    server = launch(tmp_path_factory.mktemp("faulty"))
    try:
        server.wait_until_ready()
        yield server
        is_well(server)
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def is_well(server: Any) -> None:
    """It holds nothing, fell over nothing, and answers."""
    wait_for(lambda: number(server, "hopfix_questions_in_flight") == number(server, "hopfix_questions_running") == 0)
    answered = httpx.post(f"{server.url}/v1/answer", json=WALKMAN, timeout=LATE).json()
    assert (answered["answer"], answered["corrected"]) == (ANSWER, True)
    assert "Traceback" not in server.log.read_text()


def number(server: Any, name: str) -> float:
    found = re.search(rf"^{name} (\S+)", httpx.get(f"{server.url}/metrics", timeout=LATE).text, re.MULTILINE)
    assert found
    return float(found[1])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LATE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def connect(server: Any) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=LATE)


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: hopfix", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


# -- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/answer", [WALKMAN] * 200),
        ("/v1/completions", {"model": "demo:direct", "prompt": "The", "max_tokens": 200, "n": 64, "temperature": 2}),
        ("/v1/completions", {"model": "demo:direct", "prompt": "The", "max_tokens": 200, "stream": True, "stop": "\0"}),
    ],
)
def test_clients_that_go_away_leave_nothing_behind(faulty: Any, path: str, body: Any) -> None:
    """In the middle of an answer, and of a stream of which something has come."""
    if isinstance(body, list):  # all different, so that none joins another
        body = [{"question": f"{one['question']} {place}"} for place, one in enumerate(body)]
    with ExitStack() as open_ones:
        for _ in range(8):
            client = open_ones.enter_context(connect(faulty))
            client.sendall(post(path, json.dumps(body).encode()))
            if isinstance(body, dict) and body.get("stream"):
                assert client.recv(64).startswith(b"HTTP/1.1 200")
        wait_for(lambda: number(faulty, "hopfix_questions_in_flight") > 0 or bool(dict(body).get("stream")))
    is_well(faulty)


def test_clients_that_never_finish_do_not_keep_others_from_answers(faulty: Any) -> None:
    """A hundred of them: half a head, half a body, and readers that do not read."""
    body = json.dumps([WALKMAN] * 200).encode()
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(connect(faulty)) for _ in range(100)]
        for place, client in enumerate(slow):
            match place % 3:
                case 0:
                    client.sendall(b"POST /v1/answer HTTP/1.1\r\nHost: ")
                case 1:
                    client.sendall(post("/v1/answer", body)[:500])
                case 2:
                    client.sendall(post("/v1/tokenize", b'{"text": "hello"}') * 50)
        for _ in range(3):
            is_well(faulty)
            for client in slow[::3]:
                client.sendall(b"h")


RAW = [
    b"",
    b"\r\n\r\n",
    b"\0" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"GET //v1//models?a=%00%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % at for at in range(20_000)) + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"TRACE /v1/answer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    post("/v1/answer", b"", "Connection: close"),
    post("/v1/answer", b"null", "Connection: close"),
    post("/v1/answer", b"\xff\xfe{\0}\0", "Connection: close"),
    post("/v1/answer", b'{"question": "\xe9"}', "Connection: close"),
    post("/v1/answer", '{"question": "a"}'.encode("utf-16"), "Connection: close"),
    post("/v1/answer", b"[" * 100_000, "Connection: close"),
    post("/v1/answer", b"[" * 50_000 + b"]" * 50_000, "Connection: close"),
    post("/v1/answer", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "Connection: close"),
    post("/v1/answer", b"1" * 100_000, "Connection: close"),
    post("/v1/answer", b"1e999999999", "Connection: close"),
    post("/v1/answer", b'{"question": NaN}', "Connection: close"),
    post("/v1/answer", b'{"question": "a", "question": "b"}', "Connection: close"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "Content-Encoding: gzip"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "X-Request-ID: \x1b[31m"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "X-Forwarded-For: \x1b[31m, a b, 999.1"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "traceparent: 00-x-y-z"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "Origin: null"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "Expect: 100-continue"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: close", "Transfer-Encoding: chunked"),
    post("/v1/answer", json.dumps(WALKMAN).encode(), "Connection: Upgrade", "Upgrade: websocket"),
    b"POST /v1/answer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n{}",
    b"POST /v1/answer HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /v1/answer HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
]


@pytest.mark.parametrize("sent", RAW, ids=range(len(RAW)))
def test_whatever_bytes_come_the_service_says_what_is_wrong_and_goes_on(faulty: Any, sent: bytes) -> None:
    """No 5xx, no stack trace, nothing of the client's in the log that a terminal would obey, and no hang."""
    with connect(faulty) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it had heard enough, and hung up
        received = b""
        try:
            while more := client.recv(65536):
                received += more
        except ConnectionResetError:
            pass
    statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE)]
    assert all(status < 500 for status in statuses), received[:500]
    assert b"Traceback" not in received
    log = faulty.log.read_text()
    assert "Traceback" not in log
    assert "\x1b" not in log
    assert httpx.get(f"{faulty.url}/health", timeout=LATE).status_code == 200


# -- the machine ------------------------------------------------------------------------------------------------------


def test_without_file_descriptors_it_waits_for_some_and_goes_on(start_server: Any) -> None:
    server = start_server()
    server.wait_until_ready()
    held = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (held + 20, held + 20))
    with ExitStack() as open_ones:
        for _ in range(100):
            open_ones.enter_context(connect(server))
        time.sleep(2)  # it has tried to take them
        assert server.process.poll() is None
    wait_for(lambda: httpx.get(f"{server.url}/ready", timeout=LATE).status_code == 200)
    answered = httpx.post(f"{server.url}/v1/answer", json=WALKMAN, timeout=LATE).json()
    assert answered["answer"] == ANSWER
    assert server.stop() == 0


CLOCK = """
import os, time
moved, real = os.environ.get("MOVED_CLOCK"), time.time
if moved:
    def now():
        try:
            return real() + float(open(moved).read() or 0)
        except OSError:
            return real()
    time.time, time.time_ns = now, lambda: int(now() * 1e9)
"""


def test_a_clock_that_jumps_moves_no_deadline_and_no_rate(
    start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years back and forth, as the wall clock of a machine does that is set, or was asleep."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    moved = tmp_path / "moved"
    monkeypatch.setenv("MOVED_CLOCK", str(moved))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = start_server("--rate", "20", "--cache-answers", "8")
    server.wait_until_ready()
    with httpx.Client(base_url=server.url, timeout=LATE) as client:

        def ask(seconds: float) -> httpx.Response:
            return client.post("/v1/answer", json=WALKMAN, headers={"X-Deadline-Seconds": str(seconds)})

        assert ask(30).json()["answer"] == ANSWER
        for years in (-30, 30, 0):
            moved.write_text(str(years * 365 * 86400))
            time.sleep(0.1)
            assert ask(30).json()["answer"] == ANSWER
            assert client.get("/ready").status_code == 200
        tokens = {"model": "demo", "prompt": "The", "max_tokens": 1}
        assert client.post("/v1/completions", json=tokens).json()["created"] == pytest.approx(time.time(), abs=60)
        moved.write_text(str(-86400))
        refused = [response for _ in range(60) if (response := ask(30)).status_code == 429]
        assert refused
        assert {response.headers["Retry-After"] for response in refused} == {"1"}
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def full_disk(*command: str) -> subprocess.CompletedProcess[str]:
    """As on a disk that has no room for more than two kilobytes a file."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_full_disk_leaves_the_profile_that_is_there(tmp_path: Path) -> None:
    old = replace(Profile.load(demo_profile_folder()), placeholder="old", evidence={}, replay=())
    old.save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from correction.profile import Profile;"
        "from correction.models import demo_profile_folder as f; Profile.load(f()).save(Path(sys.argv[1]))"
    )
    done = full_disk("-c", code, str(tmp_path))
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert Profile.load(tmp_path) == old
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_is_one_line_and_no_mapping(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("\n".join(f"The country of number {n} is" for n in range(150)))
    out = tmp_path / "mapping.safetensors"
    out.write_bytes(b"what was there")
    given = ("--texts", str(tmp_path / "texts"), "--source-layer", "2", "--out", str(out))
    done = full_disk("-m", "service.cli", "fit", *given)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^hopfix: .*: File too large$", done.stderr.strip().splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == b"what was there"
    assert not list(tmp_path.glob("*.partial"))


# -- models and profiles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 2', b"\xff\xfe"])
def test_a_corrupt_profile_ends_the_start_with_one_line(run_hopfix: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "profile.json").write_bytes(content)
    done = run_hopfix("serve", "--port", "0", "--profile", str(tmp_path))
    assert done.returncode == 1
    assert "profile.json is not a profile: calibrate again" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_corrupt_profile_is_not_reloaded_and_the_old_one_goes_on(start_server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    shutil.copytree(demo_profile_folder(), folder)
    server = start_server("--profile", str(folder))
    server.wait_until_ready()
    whole = (folder / "profile.json").read_bytes()
    before = httpx.get(f"{server.url}/v1/profile").json()
    (folder / "profile.json").write_bytes(whole[: len(whole) // 2])
    refused = httpx.post(f"{server.url}/v1/profile/reload", timeout=LATE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "profile_refused")
    assert httpx.get(f"{server.url}/v1/profile").json() == before
    assert httpx.post(f"{server.url}/v1/answer", json=WALKMAN, timeout=LATE).json()["answer"] == ANSWER
    (folder / "profile.json").write_bytes(whole)
    assert httpx.post(f"{server.url}/v1/profile/reload", timeout=LATE).status_code == 200
    assert server.stop() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_of_no_numbers_is_never_ready_and_never_answers(
    start_server: Any, run_hopfix: Any, tmp_path: Path, value: float
) -> None:
    shutil.copytree(demo_folder(), tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights["model.layers.3.mlp.down_proj.weight"].fill_(value)
    save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    server = start_server("--model", str(tmp_path / "model"))
    reason = "the model gives what is no number"
    with httpx.Client(base_url=server.url, timeout=LATE) as client:
        wait_for(lambda: reason in client.get("/ready").text)
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        for path, body in (
            ("/v1/answer", WALKMAN),
            ("/v1/answer", [WALKMAN, WALKMAN]),
            ("/v1/completions", {"model": "model", "prompt": "The", "echo": True, "logprobs": 1}),
        ):
            response = client.post(path, json=body)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
    assert server.stop() == 0
    answered = run_hopfix("answer", WALKMAN["question"], "--model", str(tmp_path / "model"))
    assert (answered.returncode, answered.stdout) == (1, "")
    assert reason in answered.stderr


def test_what_fails_in_a_list_fails_alone(faulty: Any, replay: list[Entry]) -> None:
    """Prompts that are too long and hops that are none, beside good questions, from eight clients at once."""
    good = [{"hop1": entry["hop1"], "hop2": entry["hop2"]} for entry in replay]
    bad: list[Entry] = [{"question": "why " * 400}, {"hop1": "The", "hop2": "no place for it"}, {"hop1": "The"}]

    async def ask(shift: int) -> None:
        body = [good[(at + shift) % len(good)] if at % 2 else bad[at % len(bad)] for at in range(40)]
        async with httpx.AsyncClient(base_url=faulty.url, timeout=LATE) as client:
            answers = (await client.post("/v1/answer", json=body)).json()
        assert all("error" in answer for answer in answers[::2])
        expected = [replay[(at + shift) % len(good)]["answer"] for at in range(1, 40, 2)]
        assert [answer["answer"] for answer in answers[1::2]] == expected

    async def all_at_once() -> None:
        await asyncio.gather(*(ask(shift) for shift in range(8)))

    asyncio.run(all_at_once())
