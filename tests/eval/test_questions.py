"""Question files: what is written is read again, and a broken line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from correction.errors import InvalidInput
from eval.demo_world.questions import demo_questions
from eval.questions import GoldQuestion, load_questions, save_questions

QUESTIONS = demo_questions("calibration", 8)


def test_question_files_survive_saving(tmp_path: Path) -> None:
    worded = [*QUESTIONS, GoldQuestion("w", "Q?", "H is", "{} is", "b", "a", paraphrases=("P?", "R?"))]
    save_questions(tmp_path / "q.jsonl", worded)
    assert load_questions(tmp_path / "q.jsonl") == worded
    assert load_questions(tmp_path / "q.jsonl", limit=3) == worded[:3]


def test_each_wording_is_a_question_with_the_same_hops() -> None:
    question = GoldQuestion("w", "Q?", "H is", "{} is", "b", "a", direct="D is", paraphrases=("P?", "R?"))
    assert [w.ask().direct_text for w in question.wordings()] == ["D is", "P?", "R?"]
    assert {w.ask().hops for w in question.wordings()} == {question.ask().hops}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"question": "Q", "hop1": "H is", "hop2": "{} is", "bridge": "b"}', "line 2: 'answer' is missing"),
        ('{"question": "Q", "answer": "a"}', "line 2: 'hop1' is missing"),
        ('{"hop1": "H is", "hop2": "no blank", "bridge": "b", "answer": "a"}', "line 2: hop2 has 0 blanks"),
        ("{", "line 2: not JSON"),
        ('{"hop1": "H is", "hop2": "{} is", "bridge": "b", "answer": "a", "answer_aliases": "x"}', "list of strings"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    save_questions(tmp_path / "q.jsonl", QUESTIONS[:1])
    with (tmp_path / "q.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InvalidInput, match=says):
        load_questions(tmp_path / "q.jsonl")
