"""Hopping Too Late's two_hop.csv (Biran et al. 2024): clozes of two hops, made from Wikidata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset, each
from eval.datasets.records import Record, table
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """A question; its hops are its relations' templates, completed by "is", as its authors ask them."""
    whole = record.text("source_prompt")
    return GoldQuestion(
        id=record.text("id"),
        question=whole,
        direct=whole,
        hop1=_template(record, "r1_template").replace(BLANK, record.text("e1_label")),
        hop2=_template(record, "r2_template"),
        bridge=record.text("e2_label"),
        bridge_aliases=record.literal("e2_aliases"),
        answer=record.text("e3_label"),
        answer_aliases=record.literal("e3_aliases"),
        type=f"{record.text('r1_type')}+{record.text('r2_type')}",
    )


def _template(record: Record, field: str) -> str:
    template = record.text(field)
    if template.count(BLANK) != 1:
        raise record.wrong(field, "does not have {} once")
    return f"{template[:1].upper()}{template[1:]} is"


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(table(path), question)


HOPPING = Dataset("hopping_too_late", "Hopping Too Late (Biran et al. 2024)", read, "contains", ("*two_hop.csv",))
