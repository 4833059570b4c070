"""Datasets by their id on the hub: the command as it is, its hub a stand-in on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.eval.datasets.formats import FILES
from tests.hub import serving

MUSIQUE = next(text for name, _, text, *_ in FILES if name == "musique").encode()
EVAL = ("eval", "--json", "--strategies", "direct", "--format", "musique")


@pytest.fixture
def ask(run_hopfix: Any, tmp_path: Path) -> Any:
    """Runs `hopfix eval` on a dataset of the hub, with a cache of its own."""

    def go(dataset: str, url: str, *more: str, **environment: str) -> Any:
        environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "cache"), **environment}
        return run_hopfix(*EVAL, "--questions", dataset, *more, **environment)

    return go


def test_a_dataset_is_fetched_once_by_its_id(ask: Any) -> None:
    files = {"README.md": b"about", "data/musique_ans_v1.0_dev.jsonl": MUSIQUE, "train.jsonl": b"not this one"}
    with serving({"datasets/org/musique": files}) as url:
        done = ask("org/musique", url)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["strategies"]["direct"]["n"] == 2
        assert done.stderr == ""  # no progress in a pipe
    again = ask("org/musique", url, HF_HUB_OFFLINE="1")  # the hub is gone
    assert again.returncode == 0, again.stderr


def test_a_file_can_be_named(ask: Any) -> None:
    with serving({"datasets/org/sets": {"mine.jsonl": MUSIQUE}}) as url:
        refused = ask("org/sets", url)
        assert refused.returncode != 0
        assert "name one of its files: ORG/NAME:FILE" in refused.stderr
        done = ask("org/sets:mine.jsonl", url)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_said_plainly(ask: Any) -> None:
    with serving({}) as url:
        done = ask("org/nothing", url)
    assert done.returncode != 0
    assert "there is no file and no dataset org/nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_cannot_be_reached_is_said_plainly(ask: Any) -> None:
    done = ask("org/musique", "http://127.0.0.1:9")
    assert done.returncode != 0
    assert "cannot fetch org/musique from the hub" in done.stderr
    assert "download it elsewhere" in done.stderr
    assert "Traceback" not in done.stderr
