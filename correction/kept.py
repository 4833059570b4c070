"""Model folders that hopfix made itself and keeps for the next start. Imports no torch.

They are in HOPFIX_CACHE, or in a folder `hopfix` where the user's other caches are. A folder appears under its name
when it is complete, is made by one process while others wait for it, and is looked over whenever it is asked for. What
was not used for longest goes once they take more than HOPFIX_CACHE_GB together; what a process is using stays.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from correction.errors import InvalidInput, ModelNotFound

MARK = "kept.json"  # the files with their sizes; its time is when the folder was last used
MOST_GB = 50.0
GIB = 1 << 30
log = logging.getLogger(__name__)
_in_use: dict[Path, int] = {}  # the open mark of each, with a shared lock as long as this process lives


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, which `make` fills if it is not there, or not whole.

    Raises what `make` raises, `ModelNotFound` where nothing can be written, and `InvalidInput` for a HOPFIX_CACHE_GB
    that is no number.
    """
    folder = cache_folder() / name
    if _take(folder):
        return folder
    room = most_bytes()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever else makes it is waited for
            if not _take(folder):
                _make(folder, make)
                _make_room(folder, room)
    except (OSError, SafetensorError) as error:
        raise ModelNotFound(
            f"cannot keep the model in {folder.parent} ({error})",
            hint="set HOPFIX_CACHE to a folder that can be written to, on a disk with room",
            param="model",
        ) from error
    return folder


def cache_folder() -> Path:
    """Where the folders are; it need not exist."""
    if given := os.environ.get("HOPFIX_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hopfix"


def most_bytes() -> int:
    """How much the folders may take together; raises `InvalidInput` for a HOPFIX_CACHE_GB that is no number."""
    given = os.environ.get("HOPFIX_CACHE_GB") or str(MOST_GB)
    try:
        return int(float(given) * GIB)
    except (ValueError, OverflowError):
        raise InvalidInput(f"HOPFIX_CACHE_GB is {given!r}, which is no number", hint="set it to gigabytes") from None


def kept_folders() -> dict[Path, int]:
    """Each folder that is there, with its bytes; the one that was not used for longest comes first."""
    found = [mark.parent for mark in cache_folder().glob(f"*/{MARK}")]
    return {folder: _bytes(folder) for folder in sorted(found, key=_used)}


def _take(folder: Path) -> bool:
    """Whether the folder is whole; from then on it is in use here."""
    try:
        mark = os.open(folder / MARK, os.O_RDONLY)
    except OSError:
        return False
    fcntl.flock(mark, fcntl.LOCK_SH)
    if not _whole(folder):
        os.close(mark)
        return False
    if (earlier := _in_use.pop(folder, None)) is not None:
        os.close(earlier)
    _in_use[folder] = mark
    with suppress(OSError):  # it may belong to someone else
        os.utime(folder / MARK)
    return True


def _whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / MARK).read_bytes())
        return bool(sizes) and all((folder / file).stat().st_size == size for file, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        make(part)
        sizes = {file.name: file.stat().st_size for file in part.iterdir()}
        (part / MARK).write_text(json.dumps(sizes, indent=1))
        for file in part.iterdir():  # safetensors makes files that nobody else can read
            file.chmod((part / MARK).stat().st_mode)
        if folder.exists():
            log.warning("%s was damaged and has been made again", folder)
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _take(folder)


def _make_room(newest: Path, room: int) -> None:
    """Removes the folders that were not used for longest, until the others take no more than `room`."""
    folders = kept_folders()
    total = sum(folders.values())
    for folder, size in folders.items():
        if total <= room:
            return
        if folder == newest:
            continue
        with suppress(OSError), (folder / MARK).open("rb") as mark:  # OSError: it is in use
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            total -= size
            log.info("%s was not used for longest and has been removed from the cache", folder)


def _used(folder: Path) -> float:
    with suppress(OSError):
        return (folder / MARK).stat().st_mtime
    return 0.0


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
