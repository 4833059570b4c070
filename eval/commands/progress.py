"""Progress on stderr: a bar on a terminal, in a pipe a line a minute, which is none for what is done sooner."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY = 60.0  # seconds between the lines in a pipe


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yields `advance(count)`."""
    shown = _Shown(what, total, (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()))
    with shown.progress:
        yield lambda count: shown.update(advance=count)


@contextmanager
def steps(what: str, about: int) -> Iterator[Callable[[str], None]]:
    """Yields `begin(step)`: the one before is done, and this is what is done now. about: how many there will be."""
    shown = _Shown(what, about, (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()))
    begun = 0

    def begin(step: str) -> None:
        nonlocal begun
        shown.update(advance=min(begun, 1), step=step)
        begun += 1

    with shown.progress:
        yield begin
        shown.progress.update(shown.task, total=begun, completed=begun, description=what)


@contextmanager
def stages(what: str) -> Iterator[Callable[[str], None]]:
    """Yields `say(stage)`: what is being done now, and for how long the whole has been at work."""
    shown = _Shown(what, None, (SpinnerColumn(), TimeElapsedColumn()))
    with shown.progress:
        yield lambda stage: shown.update(step=stage)


class _Shown:
    """One task, as its terminal or its log has it."""

    def __init__(self, what: str, total: int | None, columns: tuple[ProgressColumn, ...]) -> None:
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal
        )
        self.task = self.progress.add_task(what, total=total)
        self._what = what
        self._in_pipe = not console.is_terminal
        self._said = time.monotonic()

    def update(self, advance: int = 0, step: str = "") -> None:
        description = f"{self._what}: {step}" if step else self._what
        self.progress.update(self.task, advance=advance, description=description)
        if self._in_pipe and time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            task = self.progress.tasks[0]
            of = "" if task.total is None else f" of {task.total:.0f}"
            count = f", {task.completed:.0f}{of}" if task.completed else ""
            sys.stderr.write(f"{description}{count}\n")
            sys.stderr.flush()
