"""Folders that are kept: made once, by one process at a time, whole or not at all, no more than there is room for."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from correction import kept as module
from correction.errors import InvalidInput, ModelNotFound
from correction.kept import MARK, cache_folder, kept, kept_folders

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes a folder with a file of a mebibyte, and counts how often it did."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, folder: Path) -> None:
        self.made += 1
        (folder / "model.safetensors").write_bytes(bytes(MEBIBYTE))


def forgotten() -> None:
    """As if the processes that used the folders had ended."""
    for mark in module._in_use.values():
        os.close(mark)
    module._in_use.clear()


def test_a_folder_is_made_once() -> None:
    make = Maker()
    assert kept("a", make) == kept("a", make)
    forgotten()
    assert (kept("a", make) / "model.safetensors").stat().st_size == MEBIBYTE
    assert make.made == 1


def test_two_that_want_it_at_once_wait_for_each_other() -> None:
    make, together = Maker(), Barrier(2)

    def slowly(folder: Path) -> None:
        time.sleep(0.2)
        make(folder)

    def ask(_: int) -> Path:
        together.wait()
        return kept("a", slowly)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, range(2))
    assert first == second
    assert make.made == 1


def cut(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 1000)


def incomplete(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_a_mark(folder: Path) -> None:
    (folder / MARK).unlink()


def with_another_mark(folder: Path) -> None:
    (folder / MARK).write_text("[]")


@pytest.mark.parametrize("damage", [cut, incomplete, without_a_mark, with_another_mark])
def test_a_damaged_folder_is_made_again(damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture) -> None:
    make = Maker()
    damage(kept("a", make))
    assert (kept("a", make) / "model.safetensors").stat().st_size == MEBIBYTE
    assert make.made == 2
    assert "was damaged and has been made again" in caplog.text


def test_what_was_not_finished_is_not_there(cache: Path) -> None:
    def fails(folder: Path) -> None:
        Maker()(folder)
        raise ValueError("no such architecture")

    with pytest.raises(ValueError, match="no such architecture"):
        kept("a", fails)
    assert [file.name for file in cache.iterdir()] == [".a.lock"]


def test_what_a_killed_process_left_is_removed(cache: Path) -> None:
    (cache / ".a.part").mkdir(parents=True)
    (cache / ".a.part" / "half").write_text("half")
    assert sorted(file.name for file in kept("a", Maker()).iterdir()) == [MARK, "model.safetensors"]


def test_what_was_not_used_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPFIX_CACHE_GB", str(2.5 / 1024))
    for age, name in ((30, "a"), (20, "b"), (10, "c")):
        folder = kept(name, Maker())
        os.utime(folder / MARK, (time.time() - age,) * 2)
        forgotten()
    assert [folder.name for folder in kept_folders()] == ["b", "c"]
    kept("b", Maker())  # used again, so that c is next to go
    forgotten()
    kept("d", Maker())
    assert {folder.name for folder in kept_folders()} == {"b", "d"}


def test_what_another_process_uses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPFIX_CACHE_GB", "0.001")
    folder = kept("a", Maker())
    forgotten()
    with (folder / MARK).open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        kept("b", Maker())
    assert {folder.name for folder in kept_folders()} == {"a", "b"}


def test_a_cache_that_can_only_be_read_serves_what_is_in_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    folder = kept("a", make)
    forgotten()
    monkeypatch.setattr(module.os, "utime", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert kept("a", make) == folder


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOPFIX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/hopfix")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "hopfix"


def test_a_cache_that_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelNotFound, match=r"cannot keep the model in .*file .*set HOPFIX_CACHE to a folder"):
        kept("a", Maker())
    monkeypatch.setenv("HOPFIX_CACHE_GB", "many")
    with pytest.raises(InvalidInput, match="HOPFIX_CACHE_GB is 'many', which is no number"):
        kept("a", Maker())
