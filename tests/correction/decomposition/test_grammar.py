"""Two hops read from wordings that were written down by someone who never saw the grammar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from correction.decomposition import split_question
from correction.decomposition.grammar import LONGEST
from correction.questions import BLANK, Hops
from eval.decomposition import is_right_wording
from eval.demo_world.questions import demo_questions

DATA = Path(__file__).parents[2] / "data"


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_held_out_wordings(number: int) -> None:
    """Each round was scored before it was looked at (docs/decisions.md); since then it guards what was mended."""
    wordings = records(f"wordings/{number}.jsonl")
    wrong = [r["question"] for r in wordings if not is_right_wording(split_question(r["question"]), r)]
    assert len(wrong) <= 0.05 * len(wordings), wrong


def test_what_is_not_two_hop_is_not_split() -> None:
    split = [r["question"] for r in records("not_two_hop.jsonl") if split_question(str(r["question"])) is not None]
    assert len(split) <= 2, split


def test_own_wordings() -> None:
    questions = demo_questions("test", 600)
    wrong = []
    for question in questions:
        hops = split_question(question.question)
        if hops is None or hops.hop1 != question.hop1:
            wrong.append(question.question)
    assert len(wrong) <= 0.01 * len(questions), wrong


@pytest.mark.parametrize(
    ("question", "hop1", "hop2"),
    [
        (
            "What is the currency of the country where Kruger National Park is located?",
            "The country where Kruger National Park is located is",
            "The currency of {} is",
        ),
        ("Who runs the company that makes the iPhone?", "The company that makes the iPhone is", "Who runs {}?"),
        ("What is Dune's author's birth year?", "The author of Dune is", "{}'s birth year is"),
        ("When was the director of Jaws born?", "The director of Jaws is", "When was {} born?"),
        (
            "For the country in which Mount Fuji lies, name the capital",
            "The country in which Mount Fuji lies is",
            "The capital of {} is",
        ),
        (
            "The person who wrote Dune was born in the city of",
            "The person who wrote Dune is",
            "{} was born in the city of",
        ),
        ("Who is the CEO of the PlayStation's maker?", "The maker of the PlayStation is", "The CEO of {} is"),
        ("who founded the company behind the playstation", "The company behind the playstation is", "Who founded {}?"),
    ],
)
def test_shapes(question: str, hop1: str, hop2: str) -> None:
    assert split_question(question) == Hops(hop1, hop2)


def test_what_is_longer_than_any_question_is_not_read() -> None:
    question = "What is the currency of the country where {} is located?"
    fits, longer = (question.replace("{}", "A" * (length - len(question) + 2)) for length in (LONGEST, LONGEST + 1))
    assert split_question(fits) is not None
    assert split_question(longer) is None


@pytest.mark.parametrize("text", ["", "   ", "?", "{}", "{} {}", "a" * 5000, "the of the of the", "\u0000", "''s's's"])
def test_nonsense_is_not_split_and_raises_nothing(text: str) -> None:
    hops = split_question(text)
    assert hops is None or BLANK in hops.hop2
