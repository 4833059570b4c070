"""PopQA (Mallen et al. 2023): single hops about subjects known and obscure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.datasets.base import Asked, Dataset, each
from eval.datasets.records import Record, table
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """A one-hop question; accepted is what `possible_answers` lists."""
    accepted = record.literal("possible_answers")
    if not accepted:
        raise record.wrong("possible_answers", "is empty")
    answer = record.text("obj")
    return GoldQuestion(
        id=record.text("id"),
        question=record.text("question"),
        answer=answer,
        answer_aliases=tuple(name for name in accepted if name != answer),
        type=record.text("prop"),
    )


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(table(path, "\t"), question)


POPQA = Dataset("popqa", "PopQA (Mallen et al. 2023)", read, "popqa", ("test.tsv", "*popQA*.tsv"))
