"""A run goes on where it was, whatever stopped it, and its shards merge to it exactly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from correction.errors import InvalidInput
from eval.questions import GoldQuestion
from eval.run import CHUNK, PREDICTIONS, Run, Shard, merge

KEY = {"model": "m", "questions": "q"}
SETS = {
    name: [GoldQuestion(f"{name} {n}", f"Q{n}?", answer="a") for n in range(count)]
    for name, count in (("test", 5 * CHUNK + 7), ("keep", 2 * CHUNK), ("one_hop", 3))
}


class Killed(Exception):
    """Stands for a process that ends here."""


class Predict:
    """Notes each question; in the keep set every third alone counts. Ends after `left` chunks."""

    def __init__(self, left: int = 10**9) -> None:
        self.left = left
        self.chunks = 0

    async def __call__(
        self, name: str, questions: Sequence[GoldQuestion]
    ) -> tuple[list[dict[str, Any]], dict[str, float]]:
        if self.chunks == self.left:
            raise Killed
        self.chunks += 1
        counting = questions[:: 3 if name == "keep" else 1]
        return [{"set": name, "id": q.id, "text": "é" * (len(q.id) % 5)} for q in counting], {"direct": 0.5}


def go(folder: Path, predict: Predict, shard: Shard | None = None, key: dict[str, Any] = KEY) -> None:
    with Run(folder, key, shard or Shard()) as run:
        for name, questions in SETS.items():
            asyncio.run(run.extend(name, questions, predict, lambda count: None))


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    go(tmp_path / "whole", Predict())
    return (tmp_path / "whole" / PREDICTIONS).read_bytes()


def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_was_not(tmp_path: Path, whole: bytes) -> None:
    rng = random.Random(0)
    for attempt in range(20):
        folder, done = tmp_path / str(attempt), 0
        while True:
            predict = Predict(rng.randrange(4))
            try:
                go(folder, predict)
                break
            except Killed:
                done += predict.chunks
                with (folder / PREDICTIONS).open("ab") as stream:  # a chunk that was being written
                    stream.write(rng.choice([b"", b'{"set"', b'{"set": "test"}\n{']))
        assert (folder / PREDICTIONS).read_bytes() == whole
        assert done + predict.chunks == 9, "no chunk is predicted twice"


@pytest.mark.parametrize("count", [2, 3, 9, 20])
def test_merged_shards_are_the_whole_run(tmp_path: Path, whole: bytes, count: int) -> None:
    folders = [tmp_path / f"part {number}" for number in range(1, count + 1)]
    for number, folder in enumerate(folders, start=1):
        go(folder, Predict(), Shard(number, count))
    random.Random(1).shuffle(folders)
    assert merge(folders, tmp_path / "merged", tuple(SETS)) == KEY
    assert (tmp_path / "merged" / PREDICTIONS).read_bytes() == whole
    with Run(tmp_path / "merged", KEY) as merged, Run(tmp_path / "whole", KEY) as run:
        for name in SETS:
            assert list(merged.notes(name)) == list(run.notes(name))
        assert [p["id"] for p in merged.predictions()] == [p["id"] for p in run.predictions()]


def test_what_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    go(one, Predict(), Shard(1, 2))
    with pytest.raises(Killed):
        go(two, Predict(1), Shard(2, 2))
    go(other, Predict(), Shard(2, 2), {**KEY, "model": "n"})
    for folders, says in (
        ([one], "these are the shards 1/2: give every shard"),
        ([one, one], "these are the shards 1/2, 1/2"),
        ([one, other], "of different runs: they differ in model"),
        ([one, two], "two is not finished: run that shard again"),
        ([one, tmp_path], "there is no journal in"),
    ):
        with pytest.raises(InvalidInput, match=says):
            merge(folders, tmp_path / "merged", tuple(SETS))
    go(two, Predict(), Shard(2, 2))
    merge([one, two], tmp_path / "fresh", tuple(SETS))
    with pytest.raises(InvalidInput, match="holds a run already"):
        merge([one, two], tmp_path / "fresh", tuple(SETS))


def test_another_run_is_not_overwritten(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(InvalidInput, match="another run's journal: model"):
        go(tmp_path / "whole", Predict(), key={**KEY, "model": "n"})
    assert (tmp_path / "whole" / PREDICTIONS).read_bytes() == whole
    (tmp_path / "whole" / PREDICTIONS).write_bytes(whole[:-9])
    with pytest.raises(InvalidInput, match="is shorter than its journal says"):
        go(tmp_path / "whole", Predict())


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no shard"):
        Shard.parse(text)
