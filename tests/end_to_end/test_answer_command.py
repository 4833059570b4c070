"""`hopfix answer` as it is run in a shell: answers on stdout, talk on stderr, exit 0, 1 or 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HELP_IS_LIGHT = """
import sys
from service.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "transformers"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_no_torch(run_hopfix: Any) -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", HELP_IS_LIGHT, "--help"], capture_output=True, text=True, check=True)
    assert "answer" in done.stdout
    assert "serve" in done.stdout


def test_one_question_as_json(run_hopfix: Any, replay: list[dict[str, str]]) -> None:
    entry = replay[0]
    done = run_hopfix("answer", entry["question"], "--hop1", entry["hop1"], "--hop2", entry["hop2"], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["answer"] == entry["answer"]
    assert answer["corrected"] == (answer["patch"] is not None)


def test_one_question_for_people(run_hopfix: Any, replay: list[dict[str, str]]) -> None:
    done = run_hopfix("answer", replay[0]["question"], "--direct")
    assert done.returncode == 0
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert rows["question"] == replay[0]["question"]
    assert rows["answer"] == replay[0]["answer"]
    assert {"bridge", "strategy", "direct"} <= set(rows)


def test_a_file_is_answered_in_its_order_around_its_bad_lines(
    run_hopfix: Any, replay: list[dict[str, str]], tmp_path: Path
) -> None:
    lines = []
    for index, entry in enumerate(replay):
        lines.append(json.dumps({"id": f"q{index}", **{key: entry[key] for key in ("question", "hop1", "hop2")}}))
    lines.insert(1, "not JSON")
    lines.insert(3, '{"id": "empty", "question": ""}')
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    done = run_hopfix("answer", "--file", str(file), "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert f"2 of {len(lines)} questions" in done.stderr
    errors = [(place, answer["id"]) for place, answer in enumerate(answers) if "error" in answer]
    assert errors == [(1, None), (3, "empty")]
    assert f"{file}, line 2: not JSON" in answers[1]["error"]["message"]
    assert answers[3]["error"]["param"] == "question"
    assert [answer["answer"] for answer in answers if "answer" in answer] == [entry["answer"] for entry in replay]


def test_without_a_profile_text_answers_in_a_given_form(run_hopfix: Any, replay: list[dict[str, str]]) -> None:
    entry = replay[0]
    asked = ["answer", entry["question"], "--hop1", entry["hop1"], "--hop2", entry["hop2"], "--json"]
    for without in (["--profile", "none", "--form", "plain"], ["--form", "plain"]):
        done = run_hopfix(*asked, *without)
        assert (done.returncode, done.stderr) == (0, "")
        answer = json.loads(done.stdout)
        assert (answer["answer"], answer["corrected"]) == (entry["answer"], False)
        assert (answer["profile"], answer["patch"], answer["strategy"]) == (None, None, "two_step")
        assert answer["fallback"]["reason"].startswith("the model has no profile")
    done = run_hopfix(
        *asked, "--form", "plain", "--mapping", "vocabulary", "--source-layer", "6", "--target-layer", "0"
    )
    answer = json.loads(done.stdout)
    assert (answer["answer"], answer["corrected"], answer["fallback"]) == (entry["answer"], True, None)


def test_questions_from_standard_input(run_hopfix: Any, replay: list[dict[str, str]]) -> None:
    done = run_hopfix("answer", "--file", "-", stdin=json.dumps({"question": replay[0]["question"]}))
    assert done.returncode == 0
    assert replay[0]["answer"] in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["answer"], 2, "QUESTION"),
        (["answer", "Q", "--file", "f"], 2, "not both"),
        (["answer", "Q", "--strategy", "guess"], 2, "two_step"),
        (["answer", "Q", "--max-tokens", "0"], 2, "--max-tokens"),
        (["anwser"], 2, "anwser"),
        (["answer", ""], 1, "the question is empty"),
        (["answer", " \n"], 1, "the question is empty"),
        (["answer", "--hop1", "A is"], 1, "hop2 is missing"),
        (["answer", "--hop1", "A is", "--hop2", "B is"], 1, "hop2 has 0 blanks"),
        (["answer", "--file", "/nowhere"], 1, "cannot read /nowhere"),
        (["answer", "Q", "--engine", "warp"], 1, "hf, hf+vllm"),
        (["answer", "Q", "--source-layer", "999"], 1, "source layer 999 is out of range"),
        (["answer", "Q", "--mapping", "magic"], 1, "unknown mapping 'magic'"),
        (["answer", "Q", "--profile", "/nowhere"], 1, "no profile.json in /nowhere"),
        (["answer", "Q", "--form", "poem"], 1, "unknown form 'poem': choose one of plain, examples"),
        (["answer", "Q", "--form", "chat"], 1, "the tokenizer has no chat template: choose plain"),
        (["answer", "Q", "--form", "plain", "--profile", "demo"], 1, "give a profile or a form, not both"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(run_hopfix: Any, arguments: list[str], code: int, says: str) -> None:
    done = run_hopfix(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
