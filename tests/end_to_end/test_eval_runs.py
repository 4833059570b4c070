"""`hopfix eval` on public formats, killed and gone on with, in shards, and of a server: real processes throughout."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from eval.demo_world.questions import demo_questions
from eval.questions import save_questions
from eval.run import CHUNK, PREDICTIONS

COUNT = 4 * CHUNK + 20
STRATEGIES = ("--strategies", "direct,two_step,deployed,controls")


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "test.jsonl"
    save_questions(path, demo_questions("train", COUNT))
    return path


def command(questions: Path, out: Path, *more: str) -> list[str]:
    return ["eval", "--questions", str(questions), *STRATEGIES, "--out", str(out), "--json", *more]


def timeless(value: Any) -> Any:
    """Results less what depends on the clock, and on how the command was written."""
    if isinstance(value, dict):
        aside = ("seconds_per_question", "command")
        return {name: timeless(entry) for name, entry in value.items() if name not in aside}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole(run_hopfix: Any, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    out = tmp_path_factory.mktemp("whole")
    done = run_hopfix(*command(questions, out))
    assert done.returncode == 0, done.stderr
    return (out / PREDICTIONS).read_bytes(), timeless(json.loads(done.stdout))


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    run_hopfix: Any, questions: Path, whole: tuple[bytes, Any], tmp_path: Path
) -> None:
    """Killed at random bytes of its predictions: `kill -9` leaves it no time for anything."""
    out, rng, kills = tmp_path / "run", random.Random(0), 0
    written = out / PREDICTIONS
    reach = sorted(rng.sample(range(1, len(whole[0])), 3))
    for size in reach:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *command(questions, out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not (written.exists() and written.stat().st_size >= size):
            time.sleep(0.001)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert kills, "it was killed while it ran"
    done = run_hopfix(*command(questions, out))
    assert done.returncode == 0, done.stderr
    assert written.read_bytes() == whole[0]
    assert timeless(json.loads(done.stdout)) == whole[1]


def test_two_shards_merged_are_the_whole_run(
    run_hopfix: Any, questions: Path, whole: tuple[bytes, Any], tmp_path: Path
) -> None:
    for shard in ("1/2", "2/2"):
        done = run_hopfix(*command(questions, tmp_path / shard[0], "--shard", shard))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n"] < COUNT
    folders = [str(tmp_path / name) for name in "12"]
    done = run_hopfix("eval", "merge", *folders, "--out", str(tmp_path / "merged"), "--json")
    assert done.returncode == 0, done.stderr
    merged = timeless(json.loads(done.stdout))
    assert (tmp_path / "merged" / PREDICTIONS).read_bytes() == whole[0]
    # Merging needs no model; so it cannot say what the model's profile was calibrated on.
    assert merged == {name: entry for name, entry in whole[1].items() if name != "overlap"}
    again = run_hopfix("eval", "merge", folders[0], "--out", str(tmp_path / "half"))
    assert again.returncode == 1
    assert "give every shard of the run once" in again.stderr


def test_a_public_file_is_read_scored_and_told(run_hopfix: Any, tmp_path: Path) -> None:
    asked = demo_questions("test", 12)
    records = [
        {
            "case_id": number,
            "questions": [q.question, q.question, "What?"],
            "answer": q.answer,
            "answer_alias": list(q.answer_aliases),
            "single_hops": [
                {"question": "?", "cloze": q.hop1, "answer": q.bridge, "answer_alias": []},
                {"question": "?", "cloze": q.hop2.replace("{}", q.bridge), "answer": q.answer, "answer_alias": []},
            ],
        }
        for number, q in enumerate(asked)
    ]
    path = tmp_path / "MQuAKE-CF.json"
    path.write_text(json.dumps([*records, {"case_id": 99, "questions": []}], indent=1))
    arguments = ("eval", "--questions", str(path), "--format", "mquake", *STRATEGIES)
    done = run_hopfix(*arguments, "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert (results["n"], results["faults"]) == (12, {"test": 1})
    assert results["strategies"]["deployed"]["accuracy"] > 0.9
    assert "to the letter, in any of the wordings" in results["scoring"]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "Left out: 1 records that could not be read" in report
    assert "'questions' is empty" in report
    strict = run_hopfix(*arguments, "--strict")
    assert strict.returncode == 1
    assert f"{path.name}, line " in strict.stderr


def test_a_server_is_evaluated_as_the_baseline(run_hopfix: Any, server: Any, questions: Path, tmp_path: Path) -> None:
    """What a server's model says is what the same model says here."""
    shared = ("eval", "--questions", str(questions), "--limit", "40", "--strategies", "direct,two_step", "--json")
    here = json.loads(run_hopfix(*shared, "--out", str(tmp_path / "here")).stdout)
    there = run_hopfix(*shared, "--url", server.url, "--url-model", "demo:direct", "--out", str(tmp_path / "there"))
    assert there.returncode == 0, there.stderr
    figures = json.loads(there.stdout)["strategies"]
    for name in ("direct", "two_step"):
        assert figures[name]["accuracy"] == here["strategies"][name]["accuracy"]
    said = [
        [
            json.loads(line)["strategies"]["two_step"]["text"]
            for line in (tmp_path / where / PREDICTIONS).read_text().splitlines()
        ]
        for where in ("here", "there")
    ]
    assert said[0] == said[1]
    chat = run_hopfix(*shared, "--url", f"{server.url}/v1", "--url-model", "demo:direct", "--url-chat")
    assert chat.returncode == 0, chat.stderr  # what it says is no matter: the demo model was never told instructions
    assert json.loads(chat.stdout)["n"] == 40


def test_a_server_that_cannot_be_used_is_named(run_hopfix: Any, server: Any, questions: Path) -> None:
    for arguments, code, says in (
        (("--url", "http://127.0.0.1:9"), 1, "is the server up?"),
        (("--url", server.url, "--url-model", "nobody"), 1, "nobody"),
        (("--url", server.url, "--strategies", "deployed"), 1, "needs the model here"),
        (("--url", server.url, "--engine", "vllm"), 2, "no engine here"),
    ):
        done = run_hopfix("eval", "--questions", str(questions), "--limit", "2", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr, done.stdout)
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_the_paper_is_reproduced_from_loading_to_report(run_hopfix: Any, tmp_path: Path) -> None:
    done = run_hopfix("reproduce", "--limit", "24", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    paper = json.loads(done.stdout)["paper"]
    assert paper["asked at once"]["n"] == 24
    assert paper["any pair of layers (oracle)"]["right"] >= paper["any pair with l < l* (oracle)"]["right"]
    report = (tmp_path / "report.md").read_text()
    assert "| asked at once | 19.57 % | " in report
    assert (tmp_path / "report.html").exists()


def test_experiments_are_listed_and_run(run_hopfix: Any, tmp_path: Path) -> None:
    listed = run_hopfix("eval", "experiment")
    assert "next-token" in listed.stdout
    assert "cross-architecture" in listed.stdout
    done = run_hopfix("eval", "experiment", "entity-resolution", "--cases", "4", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["facts"]
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"entity-resolution.md", "entity-resolution.html", "entity-resolution.json", "pictures"}
    for arguments, code, says in (
        (("tea",), 1, "no experiment 'tea'"),
        (("multi-hop", "--target-model", "x"), 2, "--model"),
        (("cross-model", "--model", "demo"), 2, "needs a second model"),
    ):
        refused = run_hopfix("eval", "experiment", *arguments)
        assert refused.returncode == code, refused.stderr
        assert says in refused.stderr
