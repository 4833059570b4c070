"""2WikiMultihopQA (Ho et al. 2020): the official JSON list, or one record a line.

Compositional and inference questions are chains of two: their evidences give the hops. Comparisons have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset, each, relation_cloze
from eval.datasets.records import Record, json_records
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """A question; with hops where two evidences lead from a subject over the bridge to the answer."""
    chain = _chain(record)
    hop1, bridge, hop2 = chain or ("", "", "")
    return GoldQuestion(
        id=record.text("_id"),
        question=record.text("question"),
        hop1=hop1,
        hop2=hop2,
        bridge=bridge,
        answer=record.text("answer"),
        type=record.text("type"),
    )


def _chain(record: Record) -> tuple[str, str, str] | None:
    evidences = record.get("evidences")
    if not isinstance(evidences, list) or not all(isinstance(e, list) and len(e) == 3 for e in evidences):
        raise record.wrong("evidences", "is not a list of [subject, relation, object]")
    if record.text("type") not in ("compositional", "inference") or len(evidences) != 2:
        return None
    (subject, first, bridge), (again, second, _) = ([str(part).strip() for part in e] for e in evidences)
    if bridge != again or not (subject and first and bridge and second):
        return None
    return relation_cloze(first, subject), bridge, relation_cloze(second, BLANK)


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(json_records(path), question)


WIKIMULTIHOP = Dataset(
    "2wikimultihopqa", "2WikiMultihopQA (Ho et al. 2020)", read, "hotpotqa", ("dev.json", "train.json", "*dev*.json*")
)
