"""The real questions: good English, disjoint parts, nothing given away, the same every time, read by the commands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from eval.commands.calibrate import asked_of
from eval.commands.evaluate import _suite
from eval.demo_world.suite import demo_suite
from eval.questions import GoldQuestion, digest, load_questions, save_questions
from eval.real_names import aliases, country_with_article, is_plural, with_article
from eval.real_questions import RARELY_KNOWN, means_real, real_suite
from eval.scoring import exact_match

SUITE = real_suite()
TWO_HOP = [*SUITE["calibration"], *SUITE["test"]]


def test_there_are_enough_questions_of_enough_types() -> None:
    assert {name: len(asked) for name, asked in SUITE.items()} == {"calibration": 400, "test": 1500, "one_hop": 200}
    types = Counter(question.type for question in SUITE["test"])
    assert len(types) >= 12
    assert max(types.values()) <= 0.05 * len(SUITE["test"]), "spread evenly"
    for relation in RARELY_KNOWN:
        of = {type: n for type, n in types.items() if relation in type.split("+")}
        assert of
        assert max(of.values()) <= 0.02 * len(SUITE["test"])


def test_no_few_bridges_dominate() -> None:
    bridges = Counter(question.bridge for question in SUITE["test"])
    assert len(bridges) >= 300
    assert max(bridges.values()) <= 0.05 * len(SUITE["test"])


def test_the_parts_share_neither_bridge_nor_subject() -> None:
    """A subject is what both forms of hop 1 have in common, so no calibration question's hop 1 is asked again."""
    for of in ("bridge", "hop1_question", "hop1"):
        calibration, test = ({getattr(question, of) for question in SUITE[name]} for name in ("calibration", "test"))
        assert not calibration & test, of


def test_every_wording_is_whole() -> None:
    for question in TWO_HOP:
        assert question.hop2.count("{}") == question.hop2_question.count("{}") == 1
        asked = (question.question, question.hop1_question, question.hop2_question.format(question.bridge))
        stated = (question.hop1, question.direct or "", question.hop2.format(question.bridge))
        for text in (*asked, *stated):
            assert not re.search(r"[{}\[\]]|  ", text), text
            assert not re.search(r"\b([Tt]he|[Aa]n?) (the|The|an?)\b", text), text
        assert all(text.endswith("?") and text[0].isupper() for text in asked), asked
        assert not any(text.endswith((".", "?", " ")) for text in stated), stated


def test_no_question_gives_its_answer_or_bridge_away() -> None:
    for question in TWO_HOP:
        for name in (*question.accepted, *question.accepted_bridges):
            assert name.strip() == name != ""
            assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question.question), (question.question, name)
        assert question.answer not in question.answer_aliases


def test_names_are_written_as_english_has_them() -> None:
    landmark, product = "landmark_country", "product_company"
    assert with_article(landmark, "Eiffel Tower", "France") == "the Eiffel Tower"
    assert with_article(landmark, "Tower of London", "United Kingdom") == "the Tower of London"
    assert with_article(landmark, "Mount Fuji", "Japan") == "Mount Fuji"
    assert with_article(product, "Walkman", "Sony") == "the Walkman"
    assert with_article(product, "Nutella", "Ferrero") == "Nutella"
    assert with_article("book_author", "The Hobbit", "J. R. R. Tolkien") == "The Hobbit"
    assert country_with_article("Netherlands") == "the Netherlands"
    assert is_plural("Petronas Towers")
    assert not is_plural("Tokyo Tower")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("country", "United States", "the USA"),
        ("country", "Ivory Coast", "Côte d'Ivoire"),
        ("city", "Mumbai", "Bombay"),
        ("city", "New York City", "New York"),
        ("currency", "euro", "Euros"),
        ("language", "Chinese", "Mandarin"),
        ("person", "J. R. R. Tolkien", "J.R.R. Tolkien"),
        ("person", "Pablo Picasso", "Picasso"),
        ("person", "Gunter Grass", "Günter Grass"),
        ("company", "Sony", "Sony Corporation"),
        ("company", "Google", "Alphabet"),
    ],
)
def test_other_names_are_accepted(kind: str, name: str, said: str) -> None:
    assert exact_match(said, (name, *aliases(kind, name)))


def test_a_last_name_alone_is_accepted_only_of_those_who_are_called_by_it() -> None:
    assert not exact_match("Carey", ("Peter Carey", *aliases("person", "Peter Carey")))


def test_another_process_writes_the_same_files_with_the_hops_as_questions(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "eval.real_questions", str(tmp_path)], check=True)
    for name, asked in SUITE.items():
        read = load_questions(tmp_path / f"{name}.jsonl", one_hop=True)
        assert read == asked
        assert digest(read) == digest(asked)


def test_eval_reads_them_by_name_unless_a_folder_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite, _, _, title = _suite("real", "hopfix", 5, False)
    assert {name: len(asked) for name, asked in suite.items()} == {"test": 5, "one_hop": 5}
    assert title == "Real questions"
    save_questions(tmp_path / "real" / "test.jsonl", SUITE["calibration"][:3])
    assert not means_real("real")
    suite, *_ = _suite("real", "hopfix", None, False)
    assert list(suite["test"]) == SUITE["calibration"][:3]


def test_calibrate_takes_its_part_by_name_and_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked_of(Path("real"), "demo") == SUITE["calibration"]
    assert asked_of(None, "smollm2") == SUITE["calibration"]
    assert asked_of(None, "demo") == demo_suite()["calibration"]
    one: list[GoldQuestion] = SUITE["test"][:1]
    save_questions(tmp_path / "real", one)
    assert asked_of(Path("real"), "demo") == one
