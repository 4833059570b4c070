"""The report of an evaluation: what stands in it, from the results of a real run on few questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from correction.corrector import Corrector
from eval.demo_world.suite import demo_suite
from eval.predicting import ALL, Predictor
from eval.reports.document import markdown
from eval.reports.evaluation import evaluation_document, summary, write
from eval.results import results_of
from eval.run import Run
from tests.conftest import Asked

ABOUT = {
    "title": "T", "model": "demo", "fingerprint": "sha256:0", "profile": None, "engine": "hf", "hops_from": "hops",
    "scoring": "exact match", "versions": {"hopfix": "0"}, "seed": 0, "command": "hopfix eval --limit 12",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")

    async def go(corrector: Corrector) -> dict[str, Any]:
        with Run(folder, {"of": "test"}) as run:
            for name, questions in demo_suite().items():
                if name != "calibration":
                    await run.extend(name, questions[:12], Predictor(corrector).predict, lambda count: None)
            return {**ABOUT, **results_of(run)}

    return asked(go)


def test_every_set_and_strategy_is_there(results: dict[str, Any]) -> None:
    assert json.loads(json.dumps(results)) == results, "plain data"
    text = markdown(evaluation_document(results))
    for name in ALL:
        assert f"| {name} | " in text
    for title in (
        "All bridges",
        "Keep set",
        "Uncertain bridges",
        "One-hop questions",
        "Confidence",
        "p, Holm",
        "Chains",
    ):
        assert title in text
    assert "hopfix eval --limit 12" in text
    assert "12 questions over" in text


def test_examples_can_be_opened(results: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, results)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    fixed = results["examples"]["fixed"]
    assert len(fixed) == results["strategies"]["deployed"]["fixed"]
    assert page.count('<details class="case">') == len(fixed) + len(results["examples"]["broken"])
    assert "bridge read" in page
    assert {file.name for file in tmp_path.iterdir()} == {"pictures", "report.html", "report.md", "results.json"}


def test_records_that_were_left_out_are_told(results: dict[str, Any]) -> None:
    told = summary({**results, "faults": {"test": 2}, "fault_messages": ["f, line 3: 'answer' is missing"]})
    assert "Left out: 2 records that could not be read, such as f, line 3: 'answer' is missing" in told


def test_shared_bridges_are_a_warning(results: dict[str, Any]) -> None:
    assert summary({**results, "overlap": {"questions": 3, "bridges": 2}})[0].startswith("WARNING: 3 test questions")


def test_a_baseline_without_deployed_has_a_report(results: dict[str, Any], tmp_path: Path) -> None:
    strategies = {name: results["strategies"][name] for name in ("direct", "two_step")}
    bare = {**results, "strategies": strategies, "tables": {"All bridges": strategies}, "paired": {}, "grid": None}
    for name in ("keep", "uncertain", "unknown", "one_hop", "chains", "confidence"):
        bare.pop(name, None)
    write(tmp_path, bare)
    assert "Examples" not in (tmp_path / "report.md").read_text()
