"""MuSiQue (Trivedi et al. 2022), answerable questions: JSON lines, or a JSON list of the same records.

`question_decomposition` gives the hops, each a question or `subject >> relation`, with #1 for the first answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset, each, relation_cloze
from eval.datasets.records import Record, json_records
from eval.questions import GoldQuestion

_REFERENCE = re.compile(r"#(\d)")


def question(record: Record) -> GoldQuestion | None:
    """With hops where each step needs just the answer before it; two branches that meet are left to the reader."""
    if record.fields.get("answerable") is False:
        return None
    steps = record.records("question_decomposition")
    asked = [step.text("question") for step in steps]
    linear = 2 <= len(asked) <= 4 and [_REFERENCE.findall(text) for text in asked] == [
        [], *([str(n)] for n in range(1, len(asked)))
    ]  # fmt: skip
    hops = {f"hop{n}": _hop(text) for n, text in enumerate(asked, 1)} if linear else {}
    return GoldQuestion(
        id=record.text("id"),
        question=record.text("question"),
        **hops,
        bridge=steps[0].text("answer") if len(steps) > 1 else "",
        answer=record.text("answer"),
        answer_aliases=record.texts("answer_aliases"),
        type=record.text("id").partition("__")[0],
    )


def _hop(step: str) -> str:
    text = _REFERENCE.sub(BLANK, step)
    subject, arrow, relation = (part.strip() for part in text.partition(">>"))
    if arrow and relation:
        return relation_cloze(relation, subject)
    return f"{text[:1].upper()}{text[1:].rstrip(' ?')}?"


def read(path: Path) -> Iterator[Asked]:
    """The answerable questions of a file."""
    return each(json_records(path), question)


MUSIQUE = Dataset(
    "musique", "MuSiQue (Trivedi et al. 2022)", read, "musique", ("*musique_ans_v1.0_dev.jsonl", "*musique*dev*.json*")
)
