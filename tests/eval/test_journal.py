"""The journal: what is noted outlives the process, half lines do not, and two runs never share a file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from correction.errors import InvalidInput
from eval.journal import Journal

KEY = {"model": "sha256:abc", "questions": "123", "version": "0.1.0", "seed": 0}
ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of POSIX")

# What a child process runs; it gets the folder and the key.
OPENED = """
import json, os, signal, sys
from pathlib import Path
from eval.journal import Journal
journal = Journal(Path(sys.argv[1]), json.loads(sys.argv[2]))
"""


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", OPENED + code, str(folder), json.dumps(KEY)]
    pipe = subprocess.PIPE  # its input too, so that reading it waits
    return subprocess.Popen(arguments, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]


def test_what_is_noted_is_there_the_next_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "new" / "run", KEY) as journal:
        assert journal.done("direct") is None
        journal.note("direct", {"right": [True, False], "texts": ["Zürich\nBern", "\u2028"]})
        journal.note("two_step", 0.5)
        assert journal.done("two_step") == 0.5
    with Journal(tmp_path / "new" / "run", KEY) as journal:
        assert journal.done("direct") == {"right": [True, False], "texts": ["Zürich\nBern", "\u2028"]}
        assert journal.done("two_step") == 0.5
        assert journal.done("grid") is None


def test_steps_are_computed_once(tmp_path: Path) -> None:
    computed = []

    async def compute() -> Any:
        computed.append("grid")
        return (1, {2: None})

    async def nothing() -> None:
        computed.append("nothing")

    for _ in range(2):
        with Journal(tmp_path, KEY) as journal:
            for _ in range(2):
                # As JSON gives it back, the first time too: a resumed run computes with the same things.
                assert asyncio.run(journal.step("grid", compute)) == [1, {"2": None}]
                assert asyncio.run(journal.step("nothing", nothing)) is None
    assert computed == ["grid", "nothing"]


def test_a_step_that_fails_is_not_noted(tmp_path: Path) -> None:
    async def fails() -> None:
        raise RuntimeError("out of memory")

    with Journal(tmp_path, KEY) as journal:
        with pytest.raises(RuntimeError, match="out of memory"):
            asyncio.run(journal.step("grid", fails))
        assert lines(tmp_path) == [{"key": KEY}]


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_what_json_cannot_hold_is_refused_and_nothing_written(value: object, tmp_path: Path) -> None:
    with Journal(tmp_path, KEY) as journal:
        with pytest.raises((TypeError, ValueError)):
            journal.note("grid", value)
        journal.note("direct", 1)
    assert lines(tmp_path) == [{"key": KEY}, {"name": "direct", "value": 1}]


def test_another_run_is_refused_by_the_part_that_differs(tmp_path: Path) -> None:
    with Journal(tmp_path, KEY) as journal:
        journal.note("direct", 1)
    path = tmp_path / "journal.jsonl"
    with path.open("a") as file:
        file.write('{"name": "half')
    before = path.read_bytes()
    with pytest.raises(InvalidInput) as caught:
        Journal(tmp_path, {**KEY, "model": "sha256:def", "tokens": 8})
    assert caught.value.message == (
        f'{path} is another run\'s journal: model ("sha256:abc" there, "sha256:def" here), '
        "tokens (nothing there, 8 here)"
    )
    assert caught.value.hint == "choose another folder, or remove the file to start over"
    assert caught.value.param == "folder"
    assert path.read_bytes() == before  # another run's journal is not mended either
    Journal(tmp_path, dict(reversed(KEY.items()))).close()  # the order of the parts is no difference


def test_a_key_of_tuples_is_the_same_key_again(tmp_path: Path) -> None:
    for _ in range(2):
        Journal(tmp_path, {"layers": (1, 2)}).close()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_half_written_last_line_is_dropped(cut: int, tmp_path: Path) -> None:
    with Journal(tmp_path, KEY) as journal:
        journal.note("direct", 1)
        journal.note("grid", "ü" * 20)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(tmp_path, KEY) as journal:
        assert (journal.done("direct"), journal.done("grid")) == (1, None)
        journal.note("grid", 2)
    assert lines(tmp_path) == [{"key": KEY}, {"name": "direct", "value": 1}, {"name": "grid", "value": 2}]


def test_a_journal_killed_in_its_first_line_begins_again(tmp_path: Path) -> None:
    for start in ("", '{"key": {"mod'):
        (tmp_path / "journal.jsonl").write_text(start)
        Journal(tmp_path, KEY).close()
        assert lines(tmp_path) == [{"key": KEY}]


@pytest.mark.parametrize("bad", [b"{half\n", b"\0\0\0\n", b"\xff\n", b"\n", b"[1]\n", b'{"name": 1, "value": 2}\n'])
def test_a_corrupt_line_in_the_middle_is_named(bad: bytes, tmp_path: Path) -> None:
    Journal(tmp_path, KEY).close()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + bad + b'{"name": "a", "value": 1}\n')
    with pytest.raises(InvalidInput, match=r"journal\.jsonl, line 2: not a line of a journal: remove that line"):
        Journal(tmp_path, KEY)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"name": "a", "value": 1}\n')
    with pytest.raises(InvalidInput, match=r"line 1: not a line of a journal: choose another folder"):
        Journal(tmp_path, KEY)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot write"):
        Journal(tmp_path / "file", KEY)


def test_removed_it_begins_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEY)
    journal.note("direct", 1)
    journal.remove()
    assert not list(tmp_path.iterdir())
    with Journal(tmp_path, {"another": "run"}) as again:
        assert again.done("direct") is None


@POSIX
def test_a_second_process_is_refused_while_the_first_works(tmp_path: Path) -> None:
    other = child("print('open', flush=True); sys.stdin.read()", tmp_path)
    first = Journal(tmp_path / "mine", KEY)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(InvalidInput, match="another process is using"):
            Journal(tmp_path, KEY)
        with pytest.raises(InvalidInput, match="another process is using"):
            Journal(tmp_path / "mine", KEY)  # nor twice in one process
    finally:
        other.kill()
        other.communicate()
        first.close()
    Journal(tmp_path, KEY).close()  # a killed process leaves no lock behind


@POSIX
def test_a_process_killed_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """The child's second note writes half of its line, and then there is no child."""
    code = """
journal.note("direct", 1)
class Half:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, line):
        self.file.write(line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
journal._file = Half(journal._file)
journal.note("grid", list(range(1000)))
"""
    killed = child(code, tmp_path)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "journal.jsonl").read_bytes().endswith(b"\n")

    async def compute() -> list[int]:
        return [7]

    with Journal(tmp_path, KEY) as journal:
        assert journal.done("direct") == 1
        assert asyncio.run(journal.step("grid", compute)) == [7]
    assert lines(tmp_path)[1:] == [{"name": "direct", "value": 1}, {"name": "grid", "value": [7]}]


@POSIX
def test_whatever_note_returned_for_survives_a_kill_at_any_time(tmp_path: Path) -> None:
    """Killed while it writes megabytes, four times in a row, each time going on with the same file."""
    code = """
number = 0
while True:
    if journal.done(str(number)) is None:
        journal.note(str(number), str(number) * 300_000)
        print(number, flush=True)
    number += 1
"""
    noted = 0
    for stop in (2, 5, 6, 9):
        running = child(code, tmp_path)
        assert running.stdout is not None
        for line in running.stdout:
            noted = int(line)
            if noted >= stop:
                break
        running.kill()
        said, wrong = running.communicate(timeout=60)
        assert not wrong
        noted = max([noted, *(int(line) for line in said.split("\n")[:-1])])
        with Journal(tmp_path, KEY) as journal:
            assert all(journal.done(str(number)) == str(number) * 300_000 for number in range(noted + 1))


@POSIX
def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A limit on the file's size stands for the disk: the system takes half the line, then refuses the rest."""
    code = """
import resource
from correction.errors import InvalidInput
journal.note("direct", 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    journal.note("grid", "x" * 5000)
except InvalidInput as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert journal.done("grid") is None
journal.note("grid", 2)
"""
    running = child(code, tmp_path)
    said, wrong = running.communicate(timeout=60)
    assert running.returncode == 0, wrong
    assert said.startswith(f"cannot write {tmp_path / 'journal.jsonl'}: ")
    assert lines(tmp_path)[1:] == [{"name": "direct", "value": 1}, {"name": "grid", "value": 2}]


def test_each_note_is_on_the_disk_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(os.fstat(file).st_size)

    with Journal(tmp_path, KEY) as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        sizes = []
        for number in range(3):
            journal.note(str(number), number)
            sizes.append((tmp_path / "journal.jsonl").stat().st_size)
    assert synced == sizes
