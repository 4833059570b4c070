"""The benchmark of the layer grid with the sides that need nothing but hopfix: what it counts and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from correction.errors import InvalidInput
from eval.bench.report import markdown, picture
from eval.bench.sweep import Case, Share, agreement, compare, growth, layer_tokens, make_model, spread
from eval.bench.workers import BenchFailed, Worker, started

SMALL = Case(layers=3, width=64, questions=4, target_tokens=9, max_tokens=2, vocabulary=97)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One small comparison with the paper's protocol, which is timed on half of the questions."""
    folder = tmp_path_factory.mktemp("model")
    make_model(SMALL, folder)
    with started(["hopfix", "paper"], None) as workers:
        return compare(SMALL, workers, folder, rounds=2, threads=1, shares={"paper": Share(2, (0, 1, 2))})


def test_every_clear_cell_says_the_same_as_the_papers_protocol(compared: dict[str, Any]) -> None:
    agreed = compared["agreement"]["paper"]
    assert agreed["same"] == 1.0
    assert agreed["cells"] + agreed["ties"] == 2 * 3 * 3
    assert agreed["cells"] > 9


def test_seconds_are_of_the_whole_grid(compared: dict[str, Any]) -> None:
    assert compared["timed_on"]["paper"] == {"questions": 2, "target_layers": 3}
    assert compared["timed_on"]["hopfix"] == {"questions": 4, "target_layers": 3}
    assert compared["seconds"]["paper"] > compared["seconds"]["hopfix"] > 0
    assert set(compared["versions"]["hopfix"]) >= {"hopfix", "torch", "transformers"}


def test_the_report_has_a_line_a_case(compared: dict[str, Any], tmp_path: Path) -> None:
    results = {"machine": {"processor": "p", "cores": 2, "system": "s"}, "sweeps": {"first token": [compared]}}
    text = markdown(results)
    assert "| T | hopfix, s | paper's protocol, s |" in text
    assert "Timed on a part of the cells, questions x target layers in each row" in text
    assert "paper's protocol: 2 x 3" in text
    picture(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_layer_tokens_are_counted_by_hand() -> None:
    """L = 12, a tail of 3: 6.5 blocks on average; the others run 12 blocks over the whole prompt.

    Clean runs: the source of 10 tokens, and for two sides the target, through 12 blocks once for 144 cells.
    """
    case = Case(target_tokens=64)
    assert layer_tokens(case, "hopfix") == pytest.approx(6.5 * 3 + 12 * (10 + 64) / 144)
    assert layer_tokens(case, "nnsight_skip") == pytest.approx(6.5 * 64 + 12 * (10 + 64) / 144)
    assert layer_tokens(case, "nnsight") == pytest.approx(12 * 64 + 12 * 10 / 144)
    assert layer_tokens(case, "paper") == 12 * (64 + 10)
    longer = Case(target_tokens=64, max_tokens=8)
    assert layer_tokens(longer, "hopfix") == pytest.approx(layer_tokens(case, "hopfix") + 7 * 12)


def test_ties_are_left_out_of_the_agreement() -> None:
    tokens = np.zeros((1, 2, 2, 1), dtype=np.int32)
    other = tokens.copy()
    other[0, 0, 0] = other[0, 1, 1] = 5
    margins = np.ones((1, 2, 2, 1))
    margins[0, 0, 0] = 0
    found = agreement({"tokens": tokens, "margins": margins}, {"tokens": other}, Share(1, (0, 1)))
    assert found == {"same": pytest.approx(2 / 3), "cells": 3, "ties": 1}


@pytest.mark.parametrize(("layers", "count"), [(12, 2), (12, 4), (24, 2), (6, 2), (3, 2)])
def test_spread_layers_have_the_mean_of_all(layers: int, count: int) -> None:
    chosen = spread(layers, count)
    assert sum(chosen) / len(chosen) == (layers - 1) / 2


def test_growth_changes_one_size() -> None:
    assert [case.layers for case in growth(SMALL, "layers", [2, 4])] == [2, 4]
    assert {case.width for case in growth(SMALL, "layers", [2, 4])} == {64}


def test_a_peer_without_its_environment() -> None:
    with pytest.raises(InvalidInput, match="'make peers'"), started(["nnsight"], None):
        pass
    with pytest.raises(InvalidInput, match="unknown side 'baukit'"), started(["baukit"], None):
        pass


def test_a_side_that_fails_says_why(tmp_path: Path) -> None:
    worker = Worker("paper", sys.executable)
    job = {"model": str(tmp_path), "sources": [[5]], "targets": [[5]], "position": 0, "max_tokens": 1, "threads": 1}
    with pytest.raises(BenchFailed, match="paper failed"):
        worker.run({**job, "target_layers": [0]})
    worker.close()


def test_the_command() -> None:
    arguments = [
        "sweep",
        "--sides",
        "hopfix,paper",
        "--layers",
        "2",
        "--width",
        "64",
        "--questions",
        "2",
        "--rounds",
        "1",
    ]
    command = [sys.executable, "-m", "service.cli", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["cells"], result["questions"]) == (4, 2)
    assert set(result["seconds"]) == {"hopfix", "paper"}
    assert result["speedup"]["paper"] > 0
    assert result["agreement"]["paper"]["same"] == 1.0
