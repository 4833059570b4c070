"""Any model folder and question files: a model drawn at run time, trained, calibrated and evaluated by the command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.demo_world.training import ARCHITECTURES

SEED = int(os.environ.get("HOPFIX_TEST_SEED", random.randrange(1000)))
ARCHITECTURE = random.Random(SEED).choice(ARCHITECTURES)
COMMAND = [str(Path(sys.executable).parent / "hopfix")]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def hopfix(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=900
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of a world of its own, trained for about a minute."""
    print(f"{ARCHITECTURE}, seed {SEED}: HOPFIX_TEST_SEED={SEED} draws it again")  # noqa: T201
    folder = tmp_path_factory.mktemp("drawn") / "model"
    trained = hopfix(
        "train-demo", "--out", folder, "--arch", ARCHITECTURE, "--world", "generated", "--seed", SEED, "--size", "tiny"
    )
    assert trained.returncode == 0, trained.stderr
    return folder


@pytest.fixture(scope="module")
def profile(folder: Path) -> Path:
    """Calibrated by a process that is killed once on the way."""
    out = folder / "profile"
    arguments = [*COMMAND, "calibrate", "--model", str(folder), "--out", str(out)]
    arguments += ["--questions", str(folder / "questions" / "calibration.jsonl")]
    with subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        journal, deadline = out / "journal.jsonl", time.monotonic() + 300
        while first.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") >= 6:
                break
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
    assert not (out / "profile.json").exists(), "killed before it was done"
    unfinished = hopfix("answer", "Who?", "--model", folder, "--profile", out)
    assert unfinished.returncode == 1
    assert "was not finished: run it again" in unfinished.stderr
    done = hopfix(*arguments[1:])
    assert done.returncode == 0, done.stderr
    assert any(advice in done.stdout for advice in ("deploy: ", "use two_step: "))
    assert not journal.exists()
    return out


def test_it_calibrates_and_evaluates(folder: Path, profile: Path, tmp_path: Path) -> None:
    done = hopfix(
        "eval",
        "--model",
        folder,
        "--profile",
        profile,
        "--questions",
        folder / "questions",
        "--out",
        tmp_path,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    strategies = results["strategies"]
    assert set(strategies) == {
        "direct", "two_step", "step_by_step", "patched", "hard_token", "mid_layer", "back_patched", "deployed",
        "identity_oracle", "oracle",
    }  # fmt: skip
    assert strategies["two_step"]["accuracy"] > 0.7, "it learned its facts"
    assert strategies["deployed"]["accuracy"] >= strategies["two_step"]["accuracy"] - 0.05
    assert strategies["oracle"]["accuracy"] >= max(cell["accuracy"] for cell in strategies.values())
    assert results["overlap"]["questions"] == 0
    assert 0 <= results["confidence"]["ece"] <= 0.25
    assert {file.name for file in tmp_path.iterdir()} == {
        "journal.jsonl", "pictures", "predictions.jsonl", "report.html", "report.md", "results.json",
    }  # fmt: skip


def test_calibration_bridges_in_the_test_are_reported_loudly(folder: Path, profile: Path) -> None:
    leaked = folder / "questions" / "calibration.jsonl"
    only_two_hops = folder / "leaked.jsonl"
    lines = [line for line in leaked.read_text().splitlines() if json.loads(line).get("hop1")]
    only_two_hops.write_text("\n".join(lines[:10]) + "\n")
    done = hopfix("eval", "--model", folder, "--profile", profile, "--questions", only_two_hops)
    assert done.returncode == 0, done.stderr
    assert "WARNING: 10 test questions are about" in " ".join(done.stdout.split())


def test_its_profile_is_refused_by_another_model(profile: Path) -> None:
    done = hopfix("answer", "What is the capital of France?", "--profile", profile)
    assert done.returncode == 1
    assert "the profile was made for the model" in done.stderr
