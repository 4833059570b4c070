"""The benchmark's competitors as processes: started once, then given the same jobs in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from correction.errors import HopfixError, InvalidInput

SIDES = Path(__file__).parent / "sides"
OWN = ("hopfix", "plain", "paper")  # need nothing but hopfix's own environment
PEERS = ("nnsight", "nnsight_skip", "transformer_lens", "pyvene")


class BenchFailed(HopfixError):
    """A competitor could not be started or could not do its job."""


class Worker:
    """One side's process. `run(job)` gives its reply with `tokens` and `margins` as arrays."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self.versions: dict[str, str] = {}
        script = SIDES / ("paper.py" if name == "paper" else f"{name}_side.py")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own interpreter
                [python, str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            )
        except OSError as error:
            raise BenchFailed(f"cannot start {name}", hint=f"'make peers' makes its environment ({error})") from error

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "cells.npz"
            try:
                self._process.stdin.write(json.dumps({**job, "out": str(out)}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                raise BenchFailed(f"{self.name} ended without an answer", hint="is it installed? try 'make peers'")
            reply: dict[str, Any] = json.loads(line)
            if "error" in reply:
                raise BenchFailed(f"{self.name} failed", hint=reply["error"])
            self.versions |= reply.pop("versions", {})
            with np.load(out) as cells:
                return {**reply, "tokens": cells["tokens"], "margins": cells["margins"]}

    def close(self) -> None:
        """Ends the process, which ends by itself when nobody can ask it any more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def started(names: Sequence[str], peers_python: str | None) -> Iterator[dict[str, Worker]]:
    """The sides' processes by name. Raises `InvalidInput` for a peer without its environment."""
    unknown = set(names) - {*OWN, *PEERS}
    if unknown:
        raise InvalidInput(
            f"unknown side {sorted(unknown)[0]!r}", hint=f"choose of {', '.join((*OWN, *PEERS))}", param="sides"
        )
    if peers_python is None and set(names) & set(PEERS):
        raise InvalidInput(
            "the peers need an environment of their own",
            hint="run 'make peers', then give --peers-python .venv-peers/bin/python, or --sides hopfix,paper",
            param="peers_python",
        )
    with ExitStack() as stack:
        workers = {}
        for name in names:
            worker = Worker(name, str(peers_python) if name in PEERS else sys.executable)
            stack.callback(worker.close)
            workers[name] = worker
        yield workers
