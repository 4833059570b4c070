"""`--workers N`: processes with a model each that take connections from one socket, and who replaces them.

The first loads alone: if it cannot, nothing is served, as with one process. The others, and those that replace one that
died, take connections once they are ready; what waits at the socket meanwhile is taken by whoever is. The supervisor
itself serves nothing and knows no model.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from correction.errors import HopfixError
from service import logs
from service.settings import Settings

TICK = 0.1  # seconds between looks at the workers
STEADY = 10.0  # seconds that a worker must have been ready for to be replaced at once
LONGEST_PAUSE = 30.0  # seconds before another try, in the end
GRACE = 10.0  # seconds beyond the deadline that a worker has for its end
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # as in `service.metrics`, which must be imported after it is set
READY, RELOADED = b"ready", b"reloaded"
_SPAWN = multiprocessing.get_context("spawn")  # a fork would share what libraries have begun
log = logging.getLogger(__name__)


def supervise(settings: Settings, listening: socket.socket) -> None:
    """Serves by `settings.workers` processes until SIGTERM or Ctrl-C; raises `SystemExit` if the first cannot start."""
    with _shared_numbers():
        Supervisor(settings, listening).run()


class Supervisor:
    """Holds the workers, one in each slot."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._workers: dict[int, Worker] = {}  # by slot
        self._starts: dict[int, float] = dict.fromkeys(range(1, settings.workers), 0.0)  # when another may start
        self._failures = 0  # in a row
        self._proven = False
        self._stopping = 0.0

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, lambda *_: self._reload())
        self._start(0, at_once=True)
        while self._workers or not self._stopping:
            time.sleep(TICK)
            for slot, worker in list(self._workers.items()):
                self._hear(worker)
                if worker.process.exitcode is not None:
                    del self._workers[slot]
                    self._ended(slot, worker)
            if self._stopping:
                self._hurry()
            elif self._proven:
                self._start_due()

    def _hear(self, worker: Worker) -> None:
        for word in worker.words():
            if word == READY:
                self._proven = True
                worker.ready_since = time.monotonic()
                if worker.outdated:
                    worker.reload()
            elif word == RELOADED:
                self._reload(but=worker)

    def _ended(self, slot: int, worker: Worker) -> None:
        worker.clear()
        if self._stopping:
            return
        code = worker.process.exitcode
        if not self._proven:  # it has said why
            raise SystemExit(code if code and code > 0 else 1)
        since = worker.ready_since
        self._failures = 0 if since and time.monotonic() - since > STEADY else self._failures + 1
        pause = min(2.0 ** (self._failures - 1), LONGEST_PAUSE) if self._failures > 1 else 0.0
        self._starts[slot] = time.monotonic() + pause
        log.error("worker %s ended (%s), another starts in %g s", worker.process.pid, code, pause)

    def _start_due(self) -> None:
        for slot, when in list(self._starts.items()):
            if time.monotonic() >= when:
                del self._starts[slot]
                self._start(slot, at_once=False)

    def _start(self, slot: int, *, at_once: bool) -> None:
        worker = self._workers[slot] = Worker(self._settings, self._listening, at_once=at_once)
        if self._stopping:  # since it was begun to be started
            worker.process.terminate()

    def _reload(self, but: Worker | None = None) -> None:
        for worker in self._workers.values():
            if worker is not but:
                worker.reload()

    def _stop(self, *_: object) -> None:
        """Each signal is passed on: workers drain at the first and close at the second."""
        self._stopping = self._stopping or time.monotonic()
        for worker in self._workers.values():
            worker.process.terminate()

    def _hurry(self) -> None:
        if time.monotonic() - self._stopping > self._settings.deadline_seconds + GRACE:
            for worker in self._workers.values():
                worker.process.kill()


class Worker:
    """A process that serves, as the supervisor sees it."""

    def __init__(self, settings: Settings, listening: socket.socket, *, at_once: bool) -> None:
        self.ready_since: float | None = None
        self.outdated = False  # it may have loaded a profile that was exchanged meanwhile
        self._heard, said = _SPAWN.Pipe(duplex=False)
        self.process = _SPAWN.Process(target=_work, args=(settings, listening, said, at_once))
        self.process.start()
        said.close()

    def words(self) -> Iterator[bytes]:
        """What it has said since."""
        try:
            while self._heard.poll():
                yield self._heard.recv_bytes()
        except EOFError:  # it has ended
            return

    def reload(self) -> None:
        """Has it reload its profile, now or once it is ready."""
        self.outdated = self.ready_since is None
        if not self.outdated and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGHUP)

    def clear(self) -> None:
        """After its end: what it counted stays, what it measured last does not."""
        from prometheus_client.multiprocess import mark_process_dead

        self._heard.close()
        mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]


def _work(settings: Settings, listening: socket.socket, said: Connection, at_once: bool) -> None:
    """In the worker."""
    os.setsid()  # Ctrl-C is the supervisor's to pass on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logs.configure(settings.log_format)
    from service.process import run

    try:
        run(
            settings,
            listening,
            at_once=at_once,
            on_ready=lambda: said.send_bytes(READY),
            on_reload=lambda: said.send_bytes(RELOADED),
        )
    except HopfixError as error:
        sys.stderr.write(f"hopfix: {error}\n")
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(os.environ[SHARED], ignore_errors=True)  # if it was killed, nobody else does
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _shared_numbers() -> Iterator[None]:
    """The folder in which workers keep their numbers, where there is one in memory: a full disk would kill them."""
    memory = Path("/dev/shm")  # noqa: S108  # with a name of its own in it
    folder = tempfile.mkdtemp(prefix="hopfix-", dir=memory if os.access(memory, os.W_OK) else None)
    os.environ[SHARED] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
