"""A real vLLM server of the demo model in a process of its own, for tests that talk to it and kill it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from correction.models import demo_folder
from correction.passes import Heard, Step

T = TypeVar("T")
KEY = "hush"
STARTS_WITHIN = 180


def missing() -> str:
    """Why vLLM cannot be tested here; empty if it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"vLLM is tested on Linux x86-64, this is {sys.platform} {platform.machine()}"
    return "" if importlib.util.find_spec("vllm") else "vLLM is not installed: make vllm"


# For a file of tests that start vLLM: their stage, and what vLLM 0.32 and the torch it brings warn of.
NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for children in lists for child in children.split()]


def engine_of(pid: int) -> int:
    """The process in which vLLM runs the model, a child of the one that asks it."""
    [found] = [child for child in children(pid) if "VLLM::Engine" in Path(f"/proc/{child}/comm").read_text()]
    return found


async def midway(process: int, ask: Callable[[Heard], Awaitable[T]]) -> asyncio.Future[T]:
    """What was asked, when some of it was heard and not all of it was said; the process that says it is left stopped.

    The process runs a little at a time, since on a busy machine what it sends may come through when it is done and not
    before. Where it was done all the same it is asked again.
    """
    for _ in range(20):
        begun: list[Step] = []
        answer = asyncio.ensure_future(ask(begun.append))
        while not begun and not answer.done():
            os.kill(process, signal.SIGCONT)
            await asyncio.sleep(0.02)
            os.kill(process, signal.SIGSTOP)
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.3)  # what it has sent arrives
        if not answer.done():
            return answer
        os.kill(process, signal.SIGCONT)
    raise AssertionError("it is always done before it is heard")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class VLLMServer:
    """The server; `start` again after a kill takes the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "vllm.log"

    def start(self) -> None:
        """Returns when the process runs; `wait_until_ready` when it answers."""
        environment = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "TORCH_COMPILE_DISABLE": "1"}
        options = f"--host 127.0.0.1 --port {self.port} --api-key {KEY} --generation-config vllm"
        options += ' --additional-config {"hopfix":{}}'  # the plugin, so that it patches as well
        # As hopfix starts its own on a CPU, so that both compute alike.
        options += f" --dtype float32 --enforce-eager --block-size 32 --kv-cache-memory-bytes {1 << 28}"
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "vllm.entrypoints.openai.api_server",
                    "--model",
                    demo_folder(),
                    *options.split(),
                ],
                stdout=stream,
                stderr=stream,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.healthy():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=10).is_success
        except httpx.TransportError:
            return False

    def kill_engine(self) -> None:
        """`kill -9` of the process that holds the model; the server ends itself then."""
        os.kill(engine_of(self.process.pid), signal.SIGKILL)

    def stop(self) -> None:
        """In peace if it will, so that it gives its shared memory back."""
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
