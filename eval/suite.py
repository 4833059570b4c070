"""A suite: the question sets that one model is judged on, by name; a folder of question files, or the demo world's.

test: the two-hop questions of the tables. keep: candidates for the keep set, of which those count that direct answers
right. uncertain: candidates for the uncertain-bridge set, of which those count whose likeliest bridge has p < 0.8.
unknown: a hop is not known to the model. one_hop: nothing to correct. chains: three and four hops. All
but test may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from correction.errors import InvalidInput
from eval.datasets import DATASETS, Dataset, Reading
from eval.questions import GoldQuestion

Suite = Mapping[str, Iterable[GoldQuestion]]
SETS = ("test", "keep", "uncertain", "unknown", "one_hop", "chains")
MIX = ("test", "unknown", "one_hop", "keep")  # equal parts of these make the set that confidence is judged on
ANSWERABLE = ("test", "one_hop", "keep")
OURS = DATASETS["hopfix"]


def open_suite(
    path: Path, dataset: Dataset = OURS, *, limit: int | None = None, strict: bool = False
) -> dict[str, Reading]:
    """A file or folder of a dataset as a suite of its own, or every set of a folder of question files, none of them
    read yet. Raises `InvalidInput` for a folder without."""
    if dataset is not OURS or not path.is_dir():
        return {"test": Reading(dataset, path, limit=limit, strict=strict)}
    found = {name: path / f"{name}.jsonl" for name in SETS if (path / f"{name}.jsonl").exists()}
    if "test" not in found:
        raise InvalidInput(f"no test.jsonl in {path}", hint="give a question file, or a folder with test.jsonl")
    return {name: Reading(dataset, file, limit=limit, strict=strict) for name, file in found.items()}


def load_suite(path: Path) -> dict[str, list[GoldQuestion]]:
    """Every set of a suite in memory; the first wrong record raises its `InvalidInput`."""
    return {name: list(reading) for name, reading in open_suite(path, strict=True).items()}
