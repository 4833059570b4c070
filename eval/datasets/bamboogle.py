"""Bamboogle (Press et al. 2023): 125 two-hop questions, in any of the three files that go round.

CSV without a header (question first, answer fifth) or with `Question` and `Answer`; JSON with Q1/A1/Q2/A2 hops; JSON
with a list of answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.datasets.base import Asked, Dataset, blank, each
from eval.datasets.records import Record, json_records, table
from eval.questions import GoldQuestion

_BARE = ("Question", "1", "2", "3", "Answer", "5", "6")


def question(record: Record) -> GoldQuestion:
    """A question of any of the files; with hops where the second sub-question names the bridge."""
    accepted = record.texts("answer") if "answer" in record.fields else (record.text("Answer"),)
    if not accepted:
        raise record.wrong("answer", "is empty")
    bridges = _listed(record, "A1")
    hop2 = blank(record.maybe("Q2"), bridges)
    return GoldQuestion(
        id=record.maybe("id") or f"bamboogle-{record.where.rpartition(' ')[2]}",
        question=record.text("Question"),
        hop1=record.text("Q1") if hop2 else "",
        hop2=hop2,
        bridge=bridges[0] if bridges else "",
        bridge_aliases=bridges[1:],
        answer=accepted[0],
        answer_aliases=(*accepted[1:], *(name for name in _listed(record, "A2") if name not in accepted)),
    )


def _listed(record: Record, field: str) -> tuple[str, ...]:
    return record.texts(field) if isinstance(record.fields.get(field), list) else ()


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    if path.suffix.lower() != ".csv":
        return each(json_records(path), question)
    bare = isinstance(next(table(path, header=_BARE), None), Record)
    return each(table(path, header=_BARE if bare else None), question)


BAMBOOGLE = Dataset(
    "bamboogle", "Bamboogle (Press et al. 2023)", read, "squad", ("*bamboogle*.csv", "*bamboogle*.json")
)
