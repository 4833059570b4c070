"""What a first token rules out, and that it never rules out a right answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.questions import GoldQuestion
from eval.scorers import SCORERS
from eval.screening import may_open, openings

TABLE = json.loads((Path(__file__).parents[1] / "data" / "scoring.json").read_text(encoding="utf-8"))


def asking(answer: str, *aliases: str) -> GoldQuestion:
    return GoldQuestion("1", "Q?", answer=answer, answer_aliases=aliases)


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (" Ran", "rand"),
        ("RAND", "rand"),
        (" the", "rand"),
        ("A", "rand"),  # an article, or the beginning of one
        (' "', "rand"),
        ("\u201c", "rand"),
        ("- ra", "rand"),
        ("\u2581", "rand"),  # the space before a word, as a token of its own
        ("caf\ufffd", "Café de Flore"),  # a part of a character, in tokenizers of bytes
        ("\ufffd", "Østersund"),
        ("the Lord", "The Lord of the Rings"),
        ("L'an", "l'an 2000"),
        ("L\u2019an", "l\u2019an 2000"),
        ("\u039f\u0394\u039f\u03a3", "οδος"),  # its last letter has another lower case at the end of a word
        ("D.C", "D.C. United"),
        ("Parisian", "Paris"),  # right where the rule is that the text begins with the answer
        ("whatever", "A"),  # normalisation leaves nothing of this answer, so nothing can be compared
    ],
)
def test_what_may_still_become_right(first: str, answer: str) -> None:
    assert may_open(first, openings(asking(answer)))


@pytest.mark.parametrize("first", [" dollar", "South", "x", "r\u00e9", "there", " 1"])
def test_what_can_not(first: str) -> None:
    assert not may_open(first, openings(asking("rand", "ZAR")))


def test_any_alias_will_do() -> None:
    assert may_open("South", openings(asking("rand", "South African rand")))


@pytest.mark.parametrize("name", sorted(name for name, scorer in SCORERS.items() if not scorer.anywhere))
def test_no_right_answer_is_held_back_wherever_its_first_token_ends(name: str) -> None:
    """Every text of the scorers' table, by every rule that looks at the beginning of a text."""
    seen = 0
    for case in TABLE["cases"]:
        question = asking(case["answer"], *case["aliases"])
        said = case["prediction"]
        if said and SCORERS[name].score([said], question).right:
            seen += 1
            for end in range(1, len(said) + 1):
                assert may_open(said[:end], openings(question)), (said[:end], case)
    assert seen >= 10


def test_where_an_answer_may_stand_anywhere_its_first_token_tells_nothing() -> None:
    """So these are not screened: a rule that takes a text with other words before the answer says so of itself."""
    said, question = "It is called rand", asking("rand")
    for scorer in SCORERS.values():
        assert scorer.score([said], question).right is scorer.anywhere, scorer.name
