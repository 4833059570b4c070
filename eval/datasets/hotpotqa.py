"""HotpotQA (Yang et al. 2018), distractor and full-wiki files alike: questions without hops, read from their text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.datasets.base import Asked, Dataset, each
from eval.datasets.records import Record, json_records
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """A question; its type is bridge or comparison, with its level."""
    kind = record.text("type")
    level = record.maybe("level")
    return GoldQuestion(
        id=record.maybe("_id") or record.where.rpartition(" ")[2],  # the simplified file has no ids: its line
        question=record.text("question"),
        answer=record.text("answer"),
        type=f"{kind}, {level}" if level else kind,
    )


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(json_records(path), question)


HOTPOTQA = Dataset(
    "hotpotqa", "HotpotQA (Yang et al. 2018)", read, "hotpotqa", ("hotpot_dev_distractor_v1.json", "hotpot_*.json")
)
