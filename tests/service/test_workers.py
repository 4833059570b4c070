"""The supervisor of processes, where a real one cannot be met at the right moment."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from service import workers
from service.settings import Settings
from service.workers import Supervisor


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """As they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_worker_that_is_being_started_is_told_to_stop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starting:
        """SIGTERM comes before the supervisor knows this worker."""

        def __init__(self, *_: object, at_once: bool) -> None:
            self.process = SimpleNamespace(exitcode=None, terminate=self.end, kill=pytest.fail)
            os.kill(os.getpid(), signal.SIGTERM)

        def end(self) -> None:
            self.process.exitcode = 0

        def words(self) -> tuple[bytes, ...]:
            return ()

        def clear(self) -> None:
            pass

    monkeypatch.setattr(workers, "Worker", Starting)
    with socket.socket() as listening:
        Supervisor(Settings(workers=2, deadline_seconds=1), listening).run()
