"""What a long run has finished, so that a killed run goes on where it was: JSON lines, each on disk before the next.

The first line names the run, each other one a finished step and its value. It knows nothing of what the steps compute.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from correction.errors import InvalidInput

if sys.platform != "win32":
    import fcntl

NAME = "journal.jsonl"
START_OVER = "choose another folder, or remove the file to start over"


class Journal:
    """The finished steps of one run, in `folder`/journal.jsonl; the folder is made if need be.

    `key` identifies the run (model fingerprint, hash of the questions, version, seed): a journal that was begun with
    another key raises `InvalidInput`, and so does one that another process has open. Close it, or use `with`.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.path = folder / NAME
        self._values: dict[str, Any] = {}
        here: dict[str, Any] = json.loads(_line(key))  # as it will read from the file: a tuple is a list there
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = _locked(self.path)
        except OSError as error:
            raise InvalidInput(f"cannot write {self.path}", hint=error.strerror or str(error), param="folder") from None
        try:
            if not self._read(here):
                self._append({"key": here})
                _sync_folder(folder)
        except BaseException:
            self.close()
            raise

    def done(self, name: str) -> Any | None:
        """The value that step `name` was noted with, as JSON gives it back; None if it has not been."""
        return self._values.get(name)

    def last(self) -> Any | None:
        """The value that was noted last; None if there is none."""
        return next(reversed(self._values.values()), None)

    @staticmethod
    def key_of(folder: Path) -> dict[str, Any]:
        """The key that the journal in `folder` was begun with; raises `InvalidInput` if there is none."""
        path = folder / NAME
        try:
            with path.open("rb") as stream:
                key = json.loads(stream.readline())["key"]
        except (OSError, ValueError, KeyError, TypeError):
            hint = "give folders that runs were written to"
            raise InvalidInput(f"there is no journal in {folder}", hint=hint, param="folder") from None
        return dict(key)

    def note(self, name: str, value: Any) -> None:
        """Records a finished step; when this returns, the step is on the disk. A later note of a name counts.

        Raises `TypeError` or `ValueError` for what JSON cannot hold, before anything is written.
        """
        entry = {"name": name, "value": value}
        self._append(entry)
        self._values[name] = json.loads(_line(entry))["value"]

    async def step(self, name: str, compute: Callable[[], Awaitable[Any]]) -> Any:
        """The noted value of `name`; if there is none, what `compute()` gives, noted.

        Either way it is the value as JSON gives it back, so that a resumed run computes with what the first one did.
        """
        if name not in self._values:  # rather than done(): None may be a result
            self.note(name, await compute())
        return self._values[name]

    def remove(self) -> None:
        """Deletes the file and closes the journal: for when what the run was for has been written."""
        if sys.platform == "win32":
            self.close()  # an open file cannot be deleted there
        self.path.unlink(missing_ok=True)
        self.close()  # last: nobody else may have taken the file up in between

    def close(self) -> None:
        """Lets another process go on with the journal."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, key: dict[str, Any]) -> bool:
        """Takes up what is in the file and cuts off a half-written last line; False if there is no whole line."""
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        for number, line in enumerate(lines, start=1):
            entry = self._entry(number, line)
            if number == 1:
                _same_run(self.path, entry["key"], key)
            else:
                self._values[entry["name"]] = entry["value"]
        if rest:  # only now that the journal is known to be this run's
            self._file.truncate(self._file.tell() - len(rest))
        return bool(lines)

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:  # JSON's and UTF-8's errors both
            entry = None
        if isinstance(entry, dict):
            if number == 1 and entry.keys() == {"key"} and isinstance(entry["key"], dict):
                return entry
            if number > 1 and entry.keys() == {"name", "value"} and isinstance(entry["name"], str):
                return entry
        again = START_OVER if number == 1 else "remove that line to do that step again, or the file to start over"
        raise InvalidInput(f"{self.path}, line {number}: not a line of a journal", hint=again, param="folder")

    def _append(self, entry: Mapping[str, Any]) -> None:
        rest = memoryview(_line(entry))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while rest:  # a full disk takes a part first
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)  # or the next line would be glued to half a line
            raise InvalidInput(f"cannot write {self.path}", hint=error.strerror or str(error), param="folder") from None


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _same_run(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    parts = [part for part in {**there, **here} if (part in there, there.get(part)) != (part in here, here.get(part))]
    if parts:
        differ = ", ".join(f"{part} ({_short(there, part)} there, {_short(here, part)} here)" for part in parts)
        raise InvalidInput(f"{path} is another run's journal: {differ}", hint=START_OVER, param="folder")


def _short(key: dict[str, Any], part: str) -> str:
    text = json.dumps(key[part], ensure_ascii=False) if part in key else "nothing"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _locked(path: Path) -> BinaryIO:
    """The file, open to read and append, unbuffered; locked where the system and the file system can."""
    while True:
        file = path.open("a+b", buffering=0)
        if sys.platform == "win32":
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            hint = "wait until it has ended, or choose another folder"
            raise InvalidInput(f"another process is using {path}", hint=hint, param="folder") from None
        except OSError:
            return file  # some network file systems have no locks
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # its owner removed it between our opening and our locking


def _sync_folder(folder: Path) -> None:
    """Puts the new file's name on the disk, too; a file system that cannot do so is left alone."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
