"""Facts as CounterFact (Meng et al. 2022) and its forerunner known_1000 have them: single hops, clozes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.datasets.base import Asked, Dataset, each
from eval.datasets.records import Record, json_records
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """The fact as it is before any edit."""
    if "known_id" in record.fields:
        return GoldQuestion(
            record.text("known_id"),
            record.text("prompt"),
            answer=record.text("attribute"),
            type=record.text("relation_id"),
        )
    rewrite = record.get("requested_rewrite")
    if not isinstance(rewrite, dict):
        raise record.wrong("requested_rewrite", "is not an object")
    fact = Record(record.where, rewrite, "requested_rewrite.")
    if "{}" not in fact.text("prompt"):
        raise fact.wrong("prompt", "has no {}")
    true = fact.get("target_true")
    if not isinstance(true, dict):
        raise fact.wrong("target_true", "is not an object")
    return GoldQuestion(
        record.text("case_id"),
        fact.text("prompt").replace("{}", fact.text("subject")),
        answer=Record(record.where, true, "requested_rewrite.target_true.").text("str"),
        type=fact.text("relation_id"),
    )


def read(path: Path) -> Iterator[Asked]:
    """The facts of a file."""
    return each(json_records(path), question)


COUNTERFACT = Dataset(
    "counterfact",
    "CounterFact or known_1000 (Meng et al. 2022)",
    read,
    "squad",
    ("*counterfact.json", "*known_1000.json"),
)
