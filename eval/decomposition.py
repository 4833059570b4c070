"""How often the grammar finds the hops of two-hop questions: `python -m eval.decomposition FILE`.

FILE is a MuSiQue file (JSON list or JSON lines) with `question_decomposition`, or lines of wordings with `subject`,
`inner` and `outer` as in tests/data/wordings. MuSiQue words its sub-questions otherwise than the question, so a split
of it counts as right if the names of each sub-question (its longer words, where it has none) stand in its hop and not
in the other.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from correction.decomposition import split_question
from correction.questions import BLANK, Hops


def words(text: str) -> list[str]:
    """The words of a text, without possessive endings."""
    return re.findall(r"[\w-]+", re.sub(r"['’]s\b", "", text))


def marks(step: str, question: str) -> set[str]:
    """What tells a sub-question in the question: its names, or else its words of more than three letters."""
    said = words(step.split(">>", maxsplit=1)[0])[0 if ">>" in step else 1 :]
    capitalised = {word.lower() for word in said if word[:1].isupper()}
    in_question = {word.lower() for word in words(question)}
    return (capitalised & in_question) or ({word.lower() for word in said if len(word) > 3} & in_question)


def is_right(hops: Hops | None, record: dict[str, Any]) -> bool:
    """Whether what marks the two sub-questions went to their hops."""
    if hops is None:
        return False
    one, two = (marks(step["question"], record["question"]) for step in record["question_decomposition"])
    first, second = ({word.lower() for word in words(text)} for text in (hops.hop1, hops.hop2))
    return bool(one) and one - two <= first - second and two - one <= second - first


def is_right_wording(hops: Hops | None, record: dict[str, Any]) -> bool:
    """Hop 1 keeps the subject, the inner words and no outer one; hop 2 the outer words, `{}`, and none of hop 1's."""
    if hops is None:
        return False
    subject, inner, outer = record["subject"].lower(), set(record["inner"]), set(record["outer"])
    first, second = (set(re.findall(r"[\w-]+", text.lower())) for text in (hops.hop1, hops.hop2))
    return (
        subject in hops.hop1.lower()
        and inner <= first
        and not outer & first
        and outer <= second
        and not inner & second
        and subject not in hops.hop2.lower()
        and hops.hop2.count(BLANK) == 1
    )


def main(path: Path) -> None:
    """Prints how many two-hop questions there are, were split, and were split right."""
    text = path.read_text(encoding="utf-8")
    records = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    two_hop = [record for record in records if "subject" in record or record["id"].startswith("2hop")]
    splits = [split_question(record["question"]) for record in two_hop]
    judged = [is_right_wording if "subject" in record else is_right for record in two_hop]
    right = sum(judge(hops, record) for judge, hops, record in zip(judged, splits, two_hop, strict=True))
    found = sum(hops is not None for hops in splits)
    sys.stdout.write(f"{len(two_hop)} two-hop questions: {found} split, {right} right ({right / len(two_hop):.1%})\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
