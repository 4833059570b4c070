"""Servers as processes of their own: started, waited for, and what they take of the machine (Linux's /proc)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from correction.errors import HopfixError
from correction.models import demo_folder

STARTS_WITHIN = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds so far of the processes' first threads, which run the event loop, and of all their other threads."""

    first: float
    others: float

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.first - before.first, self.others - before.others)

    @property
    def total(self) -> float:
        return self.first + self.others


@dataclass(frozen=True)
class Server:
    """A server that runs; what it takes is that of its process and of all that it started."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def cpu(self) -> Cpu:
        first, total = 0.0, 0.0
        for pid in processes(self.process.pid):
            total += _seconds(f"/proc/{pid}/stat")
            first += _seconds(f"/proc/{pid}/task/{pid}/stat")
        return Cpu(first, total - first)

    def memory(self) -> int:
        """Bytes that are in memory now."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in processes(self.process.pid))
        return sum(map(int, pages)) * _PAGE


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [pid, *(below for children in lists for child in children.split() for below in processes(int(child)))]


def _seconds(stat: str) -> float:
    """User and system time; the fields are counted from behind the name, which may have spaces."""
    fields = Path(stat).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def hopfix(python: str, *arguments: str, threads: int | None = None) -> Iterator[Server]:
    """`hopfix serve` on a free port, ready; its settings are its defaults but for the arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOPFIX_")}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [python, "-m", "service.cli", "serve", "--port", "0", *arguments]
    with _started(command, environment, "/ready", url=None) as server:
        yield server


@contextmanager
def vllm(python: str) -> Iterator[Server]:
    """vLLM's own OpenAI server of the demo model, with the arguments that hopfix starts its own with on a CPU."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    options = f"--host 127.0.0.1 --port {port} --generation-config vllm --served-model-name demo --dtype float32"
    options += f" --enforce-eager --block-size 32 --kv-cache-memory-bytes {1 << 28} --disable-uvicorn-access-log"
    environment = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "TORCH_COMPILE_DISABLE": "1"}
    environment |= {"VLLM_PLUGINS": ""}
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(demo_folder()), *options.split()]
    with _started(command, {**os.environ, **environment}, "/health", f"http://127.0.0.1:{port}") as server:
        yield server


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str], ready: str, url: str | None) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command, stdout=stream, stderr=stream, env=dict(environment), start_new_session=True
            )
        try:
            deadline = time.monotonic() + STARTS_WITHIN
            server = Server(url or _address(process, log, deadline), process, log)
            while not _answers(server.url + ready):
                _still_starting(process, log, deadline)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, deadline: float) -> str:
    while not (found := re.search(r"listening on (http\S+)", log.read_text())):
        _still_starting(process, log, deadline)
    return found[1]


def _still_starting(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        raise HopfixError("a server did not start", hint=log.read_text()[-2000:])
    time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).is_success
    except httpx.TransportError:
        return False
