"""lm-evaluation-harness, its own command, against a served model and against the same weights in its own hands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from correction.models import demo_folder
from eval.datasets import DATASETS
from tests.eval.datasets.formats import write_all

pytestmark = pytest.mark.harness
ROOT = Path(__file__).parent.parent.parent
TASKS = ROOT / "eval" / "harnesses" / "lm_eval"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
WEIGHTS = demo_folder()
OWN = ("--model", "hf", "--model_args", f"pretrained={WEIGHTS},dtype=float32", "--device", "cpu")
LIMIT = 64


def served(url: str, model: str) -> tuple[str, ...]:
    arguments = {
        "model": model,
        "base_url": f"{url}/v1/completions",
        "tokenizer": WEIGHTS,
        "tokenizer_backend": "huggingface",
        "add_bos_token": True,
        "max_length": 256,
        "num_concurrent": 4,
    }
    return ("--model", "local-completions", "--model_args", ",".join(f"{k}={v}" for k, v in arguments.items()))


def lm_eval(out: Path, task: str, *arguments: str) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Runs the command; gives the task's figures and its samples."""
    command = [sys.executable, "-m", "lm_eval", "--tasks", task, "--include_path", str(TASKS), "--batch_size", "8"]
    command += ["--output_path", str(out), "--log_samples", "--limit", str(LIMIT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **OFFLINE})
    assert done.returncode == 0, done.stderr
    (results,) = out.rglob("results_*.json")
    (samples,) = out.rglob("samples_*.jsonl")
    figures = json.loads(results.read_text(encoding="utf-8"))["results"][task]
    return (
        {name.partition(",")[0]: value for name, value in figures.items() if isinstance(value, float)},
        [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()],
    )


def test_a_served_model_has_the_log_likelihoods_of_its_weights(tmp_path: Path, server: Any) -> None:
    own, own_samples = lm_eval(tmp_path / "own", "hopfix_demo_hops", *OWN)
    ours, our_samples = lm_eval(tmp_path / "ours", "hopfix_demo_hops", *served(server.url, "demo:direct"))
    assert ours == own
    assert own["acc"] > 0.9  # the demo model knows single hops; a quarter would be chance

    def scores(samples: list[dict[str, Any]]) -> list[float]:
        ordered = sorted(samples, key=lambda sample: sample["doc_id"])
        return [float(choice[0]) for sample in ordered for choice in sample["filtered_resps"]]

    assert len(scores(own_samples)) == 4 * LIMIT
    assert scores(our_samples) == pytest.approx(scores(own_samples), abs=1e-4)


def test_answers_are_corrected_unless_direct_is_asked(tmp_path: Path, server: Any) -> None:
    own, _ = lm_eval(tmp_path / "own", "hopfix_demo", *OWN)
    direct, _ = lm_eval(tmp_path / "direct", "hopfix_demo", *served(server.url, "demo:direct"))
    corrected, _ = lm_eval(tmp_path / "corrected", "hopfix_demo", *served(server.url, "demo"))
    assert direct["right"] == own["right"]
    assert corrected["right"] > direct["right"] + 0.5


def test_every_format_is_a_task_scored_by_its_own_rule(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    paths = write_all(tmp_path)
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=paths)
    names = {f"hopfix_{'questions' if name == 'hopfix' else name}": name for name in DATASETS}
    assert {*names, "hopfix_demo", "hopfix_demo_hops"} == {*manager.all_tasks}
    for task_name, format in names.items():
        task = manager.load([task_name])["tasks"][task_name]
        docs = list(task.test_docs())
        assert docs, format
        for doc in docs:
            assert task.doc_to_text(doc).strip()
            assert task.process_results(doc, [f" {doc['gold']['answer']}"])["right"] == 1.0, doc
            assert task.process_results(doc, ["something else"])["right"] == 0.0, format


def test_a_task_without_its_path_says_how_to_give_it() -> None:
    command = [sys.executable, "-m", "lm_eval", "--tasks", "hopfix_musique", "--include_path", str(TASKS), *OWN]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **OFFLINE})
    assert done.returncode != 0
    assert "there is no path to musique's questions" in done.stderr
    assert """--metadata '{"musique": "FILE or ORG/NAME"}'""" in done.stderr
