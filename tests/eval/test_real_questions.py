"""The real questions: good English, disjoint parts, nothing given away, the same every time, read by the commands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from eval.commands.evaluate import _suite
from eval.questions import GoldQuestion, digest, load_questions, save_questions
from eval.real_names import aliases
from eval.real_questions import RARELY_KNOWN, means_real, real_suite

SUITE = real_suite()
TWO_HOP = [*SUITE["calibration"], *SUITE["test"]]


def test_there_are_enough_questions_of_enough_types() -> None:
    assert {name: len(asked) for name, asked in SUITE.items()} == {"calibration": 600, "test": 1600, "one_hop": 200}
    types = Counter(question.type for question in SUITE["test"])
    assert len(types) >= 12 and max(types.values()) <= 0.05 * len(SUITE["test"])
    for relation in RARELY_KNOWN:
        assert 0 < sum(n for type, n in types.items() if type.endswith(relation)) <= 0.05 * len(SUITE["test"])


def test_no_few_bridges_dominate() -> None:
    bridges = Counter(question.bridge for question in SUITE["test"])
    assert len(bridges) >= 300
    assert max(bridges.values()) <= 0.03 * len(SUITE["test"])


def subject_words(question: GoldQuestion) -> str:
    return question.hop1_question + " " + question.hop1


def test_the_parts_share_neither_bridge_nor_subject() -> None:
    first, second = ({question.bridge for question in SUITE[name]} for name in ("calibration", "test"))
    assert not first & second
    first, second = ({question.hop1_question for question in SUITE[name]} for name in ("calibration", "test"))
    assert not first & second


@pytest.mark.parametrize("question", TWO_HOP, ids=lambda question: question.id)
def test_a_question_reads_well(question: GoldQuestion) -> None:
    assert question.hop2.count("{}") == question.hop2_question.count("{}") == 1
    asked = (question.question, question.hop1_question, question.hop2_question.format(question.bridge))
    stated = (question.hop1, question.direct or "", question.hop2.format(question.bridge))
    for text in (*asked, *stated):
        assert "{" not in text and "[" not in text and "  " not in text
        assert not re.search(r"\b(the|a|an) (the|a|an)\b", text), text
    for text in asked:
        assert text.endswith("?") and text[0].isupper()
    for text in stated:
        assert not text.endswith((".", "?", " "))


@pytest.mark.parametrize("question", TWO_HOP, ids=lambda question: question.id)
def test_a_question_gives_nothing_away(question: GoldQuestion) -> None:
    for name in (*question.accepted, *question.accepted_bridges):
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question.question), name
        assert name and name.strip() == name
    assert question.answer not in question.answer_aliases


def test_ids_are_unique_and_every_one_hop_question_has_an_answer() -> None:
    ids = [question.id for asked in SUITE.values() for question in asked]
    assert len(ids) == len(set(ids))
    assert all(question.answer and not question.hop1 for question in SUITE["one_hop"])


def test_other_names_are_accepted() -> None:
    assert {"USA", "America"} <= set(aliases("country", "United States"))
    assert {"euros"} <= set(aliases("currency", "euro"))
    assert {"J.R.R. Tolkien", "Tolkien"} <= set(aliases("person", "J. R. R. Tolkien"))
    assert "Sony Corporation" in aliases("company", "Sony")


def test_another_process_writes_the_same_files_with_the_hops_as_questions(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "eval.real_questions", str(tmp_path / "theirs")], check=True)
    for name, asked in SUITE.items():
        save_questions(tmp_path / "ours.jsonl", asked)
        assert (tmp_path / "ours.jsonl").read_bytes() == (tmp_path / "theirs" / f"{name}.jsonl").read_bytes()
        assert digest(load_questions(tmp_path / "ours.jsonl", one_hop=True)) == digest(asked)
    assert load_questions(tmp_path / "theirs" / "test.jsonl")[0].hop2_question == SUITE["test"][0].hop2_question


def test_eval_reads_them_by_name_unless_a_file_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite, *_, title = _suite("real", "hopfix", 5, False)
    assert {name: len(asked) for name, asked in suite.items()} == {"test": 5, "one_hop": 5}
    assert title == "Real questions"
    save_questions(tmp_path / "real" / "test.jsonl", SUITE["calibration"][:3])
    assert not means_real("real")
    suite, *_ = _suite("real", "hopfix", None, False)
    assert list(suite["test"]) == SUITE["calibration"][:3]
