"""`hopfix eval` and `calibrate` as real processes: JSON on stdout and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.demo_world.questions import demo_questions
from eval.questions import save_questions


def test_eval_prints_the_contract(run_hopfix: Any, tmp_path: Path) -> None:
    save_questions(tmp_path / "test.jsonl", demo_questions("test", 32))
    done = run_hopfix("eval", "--questions", str(tmp_path / "test.jsonl"), "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for name in ("direct", "two_step", "step_by_step", "patched", "identity_oracle", "hard_token", "deployed"):
        row = results["strategies"][name]
        assert row["n"] == 32
        assert 0 <= row["ci95"][0] <= row["accuracy"] <= row["ci95"][1] <= 1
        assert {"fixed", "broken", "seconds_per_question"} <= set(row)
    assert (tmp_path / "out" / "report.md").exists()


def test_eval_of_a_model_without_a_profile_says_in_which_forms(run_hopfix: Any, tmp_path: Path) -> None:
    save_questions(tmp_path / "test.jsonl", demo_questions("test", 8))
    asked = ["eval", "--questions", str(tmp_path / "test.jsonl"), "--strategies", "two_step,deployed", "--json"]
    asked += ["--out", str(tmp_path / "out"), "--profile", "none"]
    done = run_hopfix(*asked, "--form", "plain")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["profile"] is None
    plain = {"direct": "plain", "hop1": "plain", "hop2": "plain", "target": "plain"}
    assert results["uncalibrated"] == {"strategy": "two_step", **plain}
    assert results["strategies"]["deployed"]["accuracy"] == results["strategies"]["two_step"]["accuracy"]
    other = run_hopfix(*asked, "--form", "begun")
    assert other.returncode == 1
    assert "another run's journal" in other.stderr, "what was said in one form is not what is said in another"


def test_a_calibrated_profile_is_served_from_its_folder(run_hopfix: Any, tmp_path: Path) -> None:
    save_questions(tmp_path / "cal.jsonl", demo_questions("calibration", 50))
    done = run_hopfix("calibrate", "--questions", str(tmp_path / "cal.jsonl"), "--out", str(tmp_path / "p"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"].startswith("deploy")
    answered = run_hopfix(
        "answer", "Who runs the company that makes the Walkman?", "--profile", str(tmp_path / "p"), "--json"
    )
    assert json.loads(answered.stdout)["corrected"] is True


def test_bad_arguments_name_the_mend(run_hopfix: Any, tmp_path: Path) -> None:
    for arguments, code, says in (
        (["eval", "--questions", "nowhere.jsonl"], 1, "cannot read nowhere.jsonl"),
        (["eval", "--from", "tea"], 2, "hops"),
        (["eval", "--form", "poem"], 1, "unknown form 'poem'"),
        (["eval", "--url", "http://localhost:1", "--form", "plain"], 2, "no profile and no engine"),
        (["calibrate"], 2, "--out"),
        (["train-demo", "--arch", "abacus", "--out", str(tmp_path)], 2, "llama, gpt_neox, qwen3"),
    ):
        done = run_hopfix(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_a_model_trained_here_can_be_asked_without_a_profile(run_hopfix: Any, tmp_path: Path) -> None:
    """Three steps teach it nothing; its folder is a whole model all the same, and a kill leaves a resumable one."""
    out = tmp_path / "model"
    trained = run_hopfix("train-demo", "--arch", "gpt_neox", "--size", "tiny", "--steps", "3", "--out", str(out))
    assert trained.returncode == 0, trained.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {file.name for file in out.iterdir()}
    assert "two hops, test bridges" in (out / "README.md").read_text()
    asked = run_hopfix("answer", "Who runs the company that makes the Walkman?", "--model", str(out), "--json")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["profile"] is None
    assert "no profile" in asked.stderr
    refused = run_hopfix("eval", "--model", str(out), "--profile", str(_demo_profile()), "--limit", "1")
    assert refused.returncode == 1
    assert "made for the model 'demo'" in refused.stderr


def _demo_profile() -> Path:
    from correction.models import demo_profile_folder

    return demo_profile_folder()
