"""Real processes: the `hopfix` executable, and one served demo model for the whole session."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

STARTS_WITHIN = 180
if find_spec("vllm") is None:  # which counts its threads itself
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, as tests/conftest.py says
collect_ignore = [] if find_spec("schemathesis") else ["test_fuzz.py"]  # vLLM's stage does without it


def hopfix(*arguments: str, stdin: str | bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        input=given,
        capture_output=True,
        timeout=STARTS_WITHIN,
        check=False,
        env={**os.environ, **environment},
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Server:
    """A `hopfix serve` process and where it listens."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        with httpx.Client(base_url=self.url) as client:
            while (response := client.get("/ready")).status_code != 200:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, response.text
                time.sleep(0.2)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def start(folder: Path, *arguments: str) -> Server:
    """Starts a server on a free port; returns when it listens, before its model is loaded."""
    log = folder / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", *arguments], stdout=stream, stderr=stream
        )
    for _ in range(600):
        if found := re.search(r"listening on ([^\s\"]+)", log.read_text()):
            return Server(process, found[1], log)
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, served."""
    started = start(tmp_path_factory.mktemp("server"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        if started.process.poll() is None:
            started.stop(signal.SIGKILL)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def replay() -> list[dict[str, Any]]:
    """The demo profile's questions with the answers that the profile promises."""
    from correction.models import demo_profile_folder
    from correction.profile import Profile

    return [vars(entry) for entry in Profile.load(demo_profile_folder()).replay]


@pytest.fixture(scope="session")
def run_hopfix() -> Any:
    return hopfix


@pytest.fixture(scope="session")
def launch() -> Any:
    """`start`, for fixtures that end their servers themselves."""
    return start


@pytest.fixture
def start_server(tmp_path: Path) -> Any:
    """Starts servers that a test stops itself; what is left running is killed."""
    started: list[Server] = []

    def begin(*arguments: str) -> Server:
        started.append(start(tmp_path, *arguments))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For a module alone: playwright holds an event loop as long as it runs."""
    from tests.browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; what its console says and whom it asks is judged at the end."""
    wrong: list[str] = []
    contexts = []

    def open_page(url: str, *, forgive: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: None if request.url.startswith(url) else wrong.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: None if forgive and forgive in line.text else wrong.append(line.text))
        page.goto(f"{url}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(visit: Callable[..., Any], server: Any) -> Any:
    from playwright.sync_api import expect

    opened = visit(server.url)
    expect(opened.get_by_text("demo on hf")).to_be_visible()
    return opened
