"""Progress on a pseudo-terminal and in a pipe: the real commands, stopped once they have shown it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from eval.commands import progress

COMMAND = [sys.executable, "-m", "service.cli"]
ENVIRONMENT = {**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1"}


def on_a_terminal(command: list[str], until: str) -> str:
    """What the command writes to its stderr, a terminal, until this was seen or it has ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 150))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=ENVIRONMENT)
    os.close(theirs)
    seen = ""
    try:
        while not re.search(until, seen):
            try:
                seen += os.read(ours, 4096).decode(errors="replace")
            except OSError:  # the other end was closed: the process has ended
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
    return seen


def test_calibration_says_which_step_it_is_at(tmp_path: Path) -> None:
    seen = on_a_terminal([*COMMAND, "calibrate", "--out", str(tmp_path)], r"calibration: two_step.*[1-9]\d*/\d+")
    assert "calibration: direct" in seen
    assert re.search(r"calibration: two_step.*[1-9]\d*/\d+", seen)


def test_evaluation_counts_its_questions() -> None:
    arguments = ["eval", "--limit", "3", "--strategies", "direct"]
    seen = on_a_terminal([*COMMAND, *arguments], r"test .*3/3")
    assert re.search(r"test .*3/3", seen)


def test_large_weights_are_read_with_a_bar_on_a_terminal_alone() -> None:
    script = (
        "import sys, correction.models as m\n"
        "m.load_model(); print('now large', file=sys.stderr); m.LARGE = 0; m.load_model()"
    )
    bar = "Loading weights"
    small, _, large = on_a_terminal([sys.executable, "-c", script], bar).partition("now large")
    assert (bar in small, bar in large) == (False, True)
    piped = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert piped.stderr == "now large\n"


def test_in_a_pipe_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_work() -> str:
        with progress.bar("questions", 9) as advance:
            advance(4)
        with progress.steps("calibration", 7) as begin:
            begin("direct")
            begin("two_step")
        return capsys.readouterr().err

    assert at_work() == ""  # in less than a minute
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert at_work() == "questions, 4 of 9\ncalibration: direct\ncalibration: two_step, 1 of 7\n"
