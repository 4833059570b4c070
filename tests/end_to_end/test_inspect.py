"""Inspect, its own command, with our provider and task and with its own provider for OpenAI-compatible servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.harness
TASKS = Path(__file__).parent.parent.parent / "eval" / "harnesses" / "inspect" / "tasks.py"
LIMIT = 24


def inspect(folder: Path, *arguments: str) -> Any:
    """Runs the task; gives its log. The command exits with 0 whatever happened."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    command = [str(Path(sys.executable).parent / "inspect"), "eval", f"{TASKS}@two_hop", "--limit", str(LIMIT)]
    command += ["--log-dir", str(folder), "--display", "plain", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HOPFIX_API_KEY": "none"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    logs = list_eval_logs(str(folder))
    assert logs, done.stdout + done.stderr
    return read_eval_log(logs[0].name)


def figure(log: Any, scorer: str) -> float:
    (score,) = (score for score in log.results.scores if score.name == scorer)
    metrics = score.metrics
    return float((metrics.get("accuracy") or metrics["mean"]).value)


def test_our_provider_hands_over_the_evidence(tmp_path: Path, server: Any) -> None:
    corrected = inspect(tmp_path / "corrected", "--model", "hopfix/demo", "--model-base-url", server.url)
    assert corrected.status == "success"
    assert figure(corrected, "bridge_right") > 0.9
    evidence = corrected.samples[0].output.metadata["hopfix"]
    assert evidence["strategy"] == "deployed"
    assert evidence["bridge"]["text"]
    direct = inspect(
        tmp_path / "direct", "--model", "hopfix/demo", "--model-base-url", server.url, "-M", "strategy=direct"
    )
    assert figure(corrected, "right") > figure(direct, "right") + 0.5


def test_inspects_own_provider_does_without_evidence(tmp_path: Path, server: Any) -> None:
    log = inspect(
        tmp_path,
        *("--model", "openai-api/hopfix/demo", "--model-base-url", f"{server.url}/v1"),
        *("--temperature", "0", "--max-tokens", "24"),
    )
    assert log.status == "success"
    assert figure(log, "right") > 0.9


def test_a_file_of_another_format_is_asked(tmp_path: Path, server: Any) -> None:
    from tests.eval.datasets.formats import write_all

    path = write_all(tmp_path)["musique"]
    task = ("-T", f"questions={path}", "-T", "format=musique")
    log = inspect(tmp_path / "logs", "--model", "hopfix/demo", "--model-base-url", server.url, *task)
    assert log.status == "success"
    assert {sample.metadata["scorer"] for sample in log.samples} == {"musique"}


def test_a_refusal_is_in_the_log_in_the_services_words(tmp_path: Path, server: Any) -> None:
    log = inspect(tmp_path, "--model", "hopfix/demo", "--model-base-url", server.url, "-M", "strategy=nonsense")
    assert log.status == "error"
    assert "hopfix answered 422" in log.error.message
    assert '"param":"strategy"' in log.error.message
