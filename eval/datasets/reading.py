"""A dataset read through once: its questions one by one, and what was wrong with the records that gave none."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from correction.errors import InvalidInput
from eval.datasets.base import Dataset
from eval.questions import GoldQuestion

SHOWN = 20  # faults that are kept to be shown; all are counted


class Reading:
    """The questions of `path`; iterate over it once. `faults` counts the records that were left out, `shown` names
    the first of them.

    With `strict` the first wrong record raises its `InvalidInput`; so does, in any case, a file without a question.
    """

    def __init__(self, dataset: Dataset, path: Path, *, limit: int | None = None, strict: bool = False) -> None:
        if not path.exists():
            raise InvalidInput(f"cannot read {path}", hint="there is no such file", param="questions")
        self.dataset = dataset
        self.path = path
        self.limit = limit
        self.strict = strict
        self.faults = 0
        self.shown: list[str] = []

    def __iter__(self) -> Iterator[GoldQuestion]:
        self.faults, self.shown, count = 0, [], 0
        for asked in self.dataset.read(self.path):
            if isinstance(asked, InvalidInput):
                self._note(asked)
                continue
            count += 1
            yield asked
            if count == self.limit:
                return
        if not count:
            first = f"; the first record: {self.shown[0]}" if self.shown else ""
            raise InvalidInput(
                f"{self.path} holds no question of the format {self.dataset.name!r}{first}",
                hint="choose another --format",
                param="questions",
            )

    def digest(self) -> str:
        """A hash of the files' bytes: what a run's predictions are about."""
        files = [self.path] if self.path.is_file() else sorted(self.path.glob("*.json"))
        whole = sha256(self.dataset.name.encode())
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    whole.update(block)
        return whole.hexdigest()

    def _note(self, fault: InvalidInput) -> None:
        if self.strict:
            raise fault
        self.faults += 1
        if len(self.shown) < SHOWN:
            self.shown.append(str(fault))
