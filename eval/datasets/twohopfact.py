"""TwoHopFact (Yang et al. 2024a) and SOCRATES (Yang et al. 2024b): clozes of two hops, made from Wikidata.

SOCRATES keeps questions whose subject and answer seldom meet in text, so that no shortcut answers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset, blank, each
from eval.datasets.records import Record, table
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """A question; hop 2 is its own prompt with a blank for the bridge."""
    bridge, prompt = record.text("e2.value"), record.text("r2(e2).prompt")
    bridges, answers = _aliases(record, "e2"), _aliases(record, "e3")
    hop2 = blank(prompt, (bridge, *bridges)) or record.maybe("r2.template")
    if hop2.count(BLANK) != 1:
        raise record.wrong("r2(e2).prompt", f"does not name the bridge {bridge!r}, and r2.template has no {{}}")
    whole = record.text("r2(r1(e1)).prompt")
    return GoldQuestion(
        id=record.text("uid"),
        question=whole,
        direct=whole,
        hop1=record.text("r1(e1).prompt"),
        hop2=hop2,
        bridge=bridge,
        bridge_aliases=bridges,
        answer=record.text("e3.value"),
        answer_aliases=answers,
        type=record.text("category"),
    )


def _aliases(record: Record, entity: str) -> tuple[str, ...]:
    value = record.text(f"{entity}.value")
    return tuple(name for name in record.literal(f"{entity}.aliases") if name != value)


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(table(path), question)


TWOHOPFACT = Dataset("twohopfact", "TwoHopFact (Yang et al. 2024a)", read, "twohopfact", ("*TwoHopFact.csv",))
SOCRATES = Dataset("socrates", "SOCRATES (Yang et al. 2024b)", read, "socrates", ("*SOCRATES*.csv",))
