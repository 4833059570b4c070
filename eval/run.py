"""A run: the predictions of a model on sets of questions, as a folder that grows by chunks.

`predictions.jsonl` has a line a question, `journal.jsonl` a line a finished chunk: how far the predictions reach, and
the seconds each strategy took. A killed run goes on behind its last finished chunk. Chunks are the same in every run of
the same questions, so that a shard (every n-th chunk) batches as the whole run does, and shards merge to it exactly.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from correction.errors import InvalidInput
from eval.journal import START_OVER, Journal
from eval.questions import GoldQuestion

PREDICTIONS = "predictions.jsonl"
CHUNK = 128  # questions

Predict = Callable[[str, Sequence[GoldQuestion]], Awaitable[tuple[list[dict[str, Any]], dict[str, float]]]]


@dataclass(frozen=True)
class Shard:
    """Every `count`-th chunk, from the `number`-th on, counted from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "2/4"; raises `InvalidInput`."""
        if (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)) and 1 <= int(found[1]) <= int(found[2]):
            return cls(int(found[1]), int(found[2]))
        raise InvalidInput(
            f"{text!r} is no shard", hint="write 1/4 to 4/4 for the four quarters of a run", param="shard"
        )

    def has(self, chunk: int) -> bool:
        """Whether the chunk, counted from 0, is this shard's."""
        return chunk % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class Run:
    """The run in `folder`, begun or gone on with; use it in a `with`. `key` is what its predictions depend on.

    Raises `InvalidInput` where another run's files are, or another process is at work.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], shard: Shard = Shard()) -> None:
        self.path = folder / PREDICTIONS
        self.shard = shard
        self.journal = Journal(folder, {**key, "shard": str(shard)})
        last = self.journal.last()
        self._end: int = last["end"] if last else 0
        try:
            size = self.path.stat().st_size if self.path.exists() else 0
            if size < self._end:
                raise InvalidInput(f"{self.path} is shorter than its journal says", hint=START_OVER, param="out")
            self._file = self.path.open("ab")
            self._file.truncate(self._end)  # a chunk that was not finished
        except OSError as error:
            self.journal.close()
            raise InvalidInput(f"cannot write {self.path}", hint=error.strerror or str(error), param="out") from None
        except InvalidInput:
            self.journal.close()
            raise

    async def extend(
        self, name: str, questions: Iterable[GoldQuestion], predict: Predict, on_done: Callable[[int], None]
    ) -> None:
        """Predicts what is not there yet of the set `name`; `on_done` gets the number of questions of each chunk."""
        if self.journal.done(name) is not None:
            return
        remaining, count = iter(questions), 0
        while chunk := list(islice(remaining, CHUNK)):
            here = f"{name} {count}"
            if self.shard.has(count) and self.journal.done(here) is None:
                records, seconds = await predict(name, chunk)
                lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
                self.commit(here, lines.encode(), {"asked": len(chunk), "predicted": len(records), "seconds": seconds})
            count += 1
            on_done(len(chunk))
        faults, shown = getattr(questions, "faults", 0), getattr(questions, "shown", [])
        self.commit(name, b"", {"chunks": count, "faults": faults, "shown": shown})

    def commit(self, name: str, lines: bytes, note: Mapping[str, Any]) -> None:
        """Puts predictions on the disk, then notes that they are there."""
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InvalidInput(f"cannot write {self.path}", hint=error.strerror or str(error), param="out") from None
        self._end += len(lines)
        self.journal.note(name, {**note, "bytes": len(lines), "end": self._end})

    def predictions(self) -> Iterator[dict[str, Any]]:
        """Every prediction, in order."""
        with self.path.open("rb") as stream:
            for line in stream:
                yield json.loads(line)

    def notes(self, name: str) -> Iterator[dict[str, Any]]:
        """What was noted of each chunk of a set."""
        whole = self.journal.done(name) or {"chunks": 0}
        for chunk in range(whole["chunks"]):
            if note := self.journal.done(f"{name} {chunk}"):
                yield note

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()
        self.journal.close()


def merge(folders: Sequence[Path], out: Path, sets: Sequence[str]) -> dict[str, Any]:
    """Makes in `out` the run of which `folders` are the shards, and gives its key.

    Raises `InvalidInput` where shards are missing, unfinished, of different runs, or `out` holds another run.
    """
    keys = [Journal.key_of(folder) for folder in folders]
    shards = [Shard.parse(str(key.pop("shard", ""))) for key in keys]
    if any(key != keys[0] for key in keys):
        differing = next(n for n, key in enumerate(keys) if key != keys[0])
        parts = sorted(
            part for part in {**keys[0], **keys[differing]} if keys[0].get(part) != keys[differing].get(part)
        )
        raise InvalidInput(
            f"{folders[0]} and {folders[differing]} are of different runs: they differ in {', '.join(parts)}",
            hint="merge the shards of one run",
            param="folders",
        )
    count = len(folders)
    if sorted(shard.number for shard in shards) != list(range(1, count + 1)) or {s.count for s in shards} != {count}:
        given = ", ".join(map(str, shards))
        raise InvalidInput(f"these are the shards {given}", hint="give every shard of the run once", param="folders")
    by_number = {shard.number: folder for shard, folder in zip(shards, folders, strict=True)}
    with ExitStack() as stack:
        opened = [stack.enter_context(Run(by_number[n], keys[0], Shard(n, count))) for n in range(1, count + 1)]
        merged = stack.enter_context(Run(out, keys[0]))
        if merged.journal.last() is not None:
            raise InvalidInput(f"{out} holds a run already", hint="choose a new folder", param="out")
        for name in sets:
            _merge_set(opened, merged, name)
    return keys[0]


def _merge_set(parts: Sequence[Run], merged: Run, name: str) -> None:
    ends = [part.journal.done(name) for part in parts]
    if all(end is None for end in ends):
        return  # the runs have no such set
    for part, end in zip(parts, ends, strict=True):
        if end is None:
            hint = "run that shard again: it goes on where it was"
            raise InvalidInput(f"{part.path.parent} is not finished", hint=hint, param="folders")
    for chunk in range(ends[0]["chunks"]):
        part = parts[chunk % len(parts)]
        note = part.journal.done(f"{name} {chunk}")
        with part.path.open("rb") as stream:
            stream.seek(note["end"] - note["bytes"])
            lines = stream.read(note["bytes"])
        merged.commit(f"{name} {chunk}", lines, {k: v for k, v in note.items() if k not in ("end", "bytes")})
    merged.commit(name, b"", {k: v for k, v in ends[0].items() if k not in ("end", "bytes")})
