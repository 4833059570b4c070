"""MQuAKE (Zhong et al. 2023): chains of two to four hops, three wordings each; CF, CF-3k, CF-3k-v2 and T alike.

Asked before any edit: `answer`, not `new_answer`. The counterfactual half is for those who edit a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.datasets.base import Asked, Dataset, blank, each
from eval.datasets.records import Record, json_records
from eval.questions import GoldQuestion


def question(record: Record) -> GoldQuestion:
    """The hops are the clozes of `single_hops`; left out where one does not name the answer before it."""
    wordings = record.texts("questions")
    if not wordings:
        raise record.wrong("questions", "is empty")
    hops = record.records("single_hops")
    named = [(hop.text("answer"), *hop.texts("answer_alias")) for hop in hops]
    later = [blank(hop.text("cloze"), names) for hop, names in zip(hops[1:], named, strict=False)]
    known = 2 <= len(hops) <= 4 and all(later)
    return GoldQuestion(
        id=record.text("case_id"),
        question=wordings[0],
        paraphrases=wordings[1:],
        **({f"hop{n}": text for n, text in enumerate([hops[0].text("cloze"), *later], 1)} if known else {}),
        bridge=named[0][0] if len(hops) > 1 else "",
        bridge_aliases=named[0][1:] if len(hops) > 1 else (),
        answer=record.text("answer"),
        answer_aliases=record.texts("answer_alias"),
        type=f"{len(hops)} hops",
    )


def read(path: Path) -> Iterator[Asked]:
    """The cases of a file."""
    return each(json_records(path), question)


MQUAKE = Dataset("mquake", "MQuAKE (Zhong et al. 2023)", read, "mquake", ("*MQuAKE-CF-3k-v2.json", "*MQuAKE*.json"))
