"""Evaluation and calibration on the bundled model: what they count, choose and print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.profile import Choice
from eval.demo_world.questions import demo_questions
from eval.evaluation import IDENTITY_ORACLE, Run, fallbacks, paired_tests, run_strategies, summarise
from eval.questions import GoldQuestion, load_questions, save_questions
from eval.report import markdown, write
from eval.sweep import identity_grid, sweep
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 64)


def gold(number: int, bridge: str) -> GoldQuestion:
    return GoldQuestion(str(number), f"q{number}", "h", "{}", bridge, "yes")


def test_fixed_and_broken_are_counted_against_direct() -> None:
    direct = Run("direct", ["yes", "yes", "no", "no"], [True, True, False, False], [], 1.0)
    other = Run("deployed", ["yes", "no", "yes", "no"], [True, False, True, False], [], 2.0)
    questions = [gold(number, bridge) for number, bridge in enumerate("aabb")]
    table = summarise({"direct": direct, "deployed": other}, questions, lambda index: True)
    assert (table["deployed"]["fixed"], table["deployed"]["broken"]) == (1, 1)
    assert (table["direct"]["fixed"], table["direct"]["broken"]) == (0, 0)
    assert table["deployed"]["accuracy"] == 0.5
    assert table["deployed"]["seconds_per_question"] == 0.5
    first_bridge = summarise({"direct": direct, "deployed": other}, questions, lambda index: index < 2)
    assert (first_bridge["direct"]["accuracy"], first_bridge["deployed"]["broken"]) == (1.0, 1)
    assert paired_tests({"direct": direct, "deployed": other}, questions)["direct"]["p"] == 1.0


def test_a_cell_of_the_sweep_is_what_the_corrector_answers(asked: Asked) -> None:
    """`patched` patches one state at one placeholder, as the sweep does."""
    choice = Choice(3, 1, "identity")

    async def go(corrector: Corrector) -> tuple[list[str], list[str]]:
        grid = await sweep(corrector, QUESTIONS, [Choice(1, 0, "identity"), choice])
        answers = await corrector.answer_all([q.ask() for q in QUESTIONS], "patched", choice=choice)
        return grid[choice], [answer.answer for answer in answers]

    swept, answered = asked(go)
    assert swept == answered


def test_the_oracle_is_at_least_as_good_as_any_cell(asked: Asked) -> None:
    async def go(corrector: Corrector) -> dict[str, Run]:
        return await run_strategies(corrector, QUESTIONS, strategies=("direct", "patched"))

    runs = asked(go)
    assert sum(runs[IDENTITY_ORACLE].right) >= sum(runs["patched"].right)
    assert len(identity_grid(6)) == 36


def test_question_files_survive_saving(tmp_path: Path) -> None:
    save_questions(tmp_path / "q.jsonl", QUESTIONS)
    assert load_questions(tmp_path / "q.jsonl") == QUESTIONS
    assert load_questions(tmp_path / "q.jsonl", limit=3) == QUESTIONS[:3]


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


def test_a_report_is_written_whole(tmp_path: Path, asked: Asked) -> None:
    async def go(corrector: Corrector) -> dict[str, Run]:
        return await run_strategies(corrector, QUESTIONS[:8])

    runs = asked(go)
    table = summarise(runs, QUESTIONS[:8], lambda index: True)
    results: dict[str, Any] = {
        "title": "T",
        "strategies": table,
        "tables": {"All bridges": table},
        "paired": paired_tests(runs, QUESTIONS[:8]),
        "known": 8,
        "shortcuts": 0,
        "fallbacks": fallbacks(runs["deployed"]),
        "hops_from": "hops",
        "n": 8,
        "bridges": 8,
        "model": "demo",
        "fingerprint": "sha256:0",
        "profile": None,
        "engine": "hf",
    }
    write(tmp_path, results, runs, QUESTIONS[:8])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["predictions.jsonl", "report.md", "results.json"]
    assert json.loads((tmp_path / "results.json").read_text())["n"] == 8
    predictions = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [p["id"] for p in predictions] == [q.id for q in QUESTIONS[:8]]
    text = markdown(results)
    for name in ("direct", "deployed", "identity_oracle"):
        assert f"| {name} | " in text
