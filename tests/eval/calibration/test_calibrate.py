"""Calibration of the bundled model on few questions: what it chooses, that it resumes, and what it refuses."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from correction.architecture import Blocks
from correction.errors import EngineUnavailable, InvalidInput
from correction.models import LoadedModel
from correction.profile import Profile
from eval.calibration import calibrate, most_steps, verdict
from eval.calibration.overlap import overlap
from eval.calibration.report import markdown, write_report
from eval.demo_world.suite import demo_suite
from eval.journal import Journal
from eval.questions import GoldQuestion
from tests.conftest import Asked

SUITE = demo_suite()


def some(prefix: str, count: int) -> list[GoldQuestion]:
    return [q for q in SUITE["calibration"] if q.type.startswith(prefix)][:count]


QUESTIONS = [
    *[q for q in SUITE["calibration"] if ":" not in q.type][:60],
    *some("uncertain:", 15),
    *some("unknown:", 15),
    *some("one_hop:", 20),
]


def calibrated(demo: LoadedModel, folder: Path, steps: list[str] | None = None, *, stop_at: str = "") -> Profile:
    """Calibrates in the folder; dies when the step `stop_at` begins."""

    def on_step(what: str) -> None:
        if steps is not None:
            steps.append(what)
        if what == stop_at:
            raise KeyboardInterrupt

    with Journal(folder, {"questions": len(QUESTIONS)}) as journal:
        return Asked(demo)(lambda corrector: calibrate(corrector, QUESTIONS, journal, on_step))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


@pytest.fixture(scope="module")
def profile(demo: LoadedModel, folder: Path) -> Profile:
    """Calibrated in two goes: the first was killed in the middle."""
    with pytest.raises(KeyboardInterrupt):
        calibrated(demo, folder, stop_at="3 bridges weighed")
    return calibrated(demo, folder)


def test_the_profile_deploys_and_says_what_to_expect(profile: Profile, demo: LoadedModel) -> None:
    assert profile.strategy == "deployed"
    assert (profile.choice.target_layer, profile.choice.mapping) in ((0, "vocabulary"), (0, "hard_token"))
    assert profile.choice.source_layer == demo.parts.depth, "too few questions to leave a hop early"
    assert profile.answer_layer is None
    assert profile.mid_layer.target_layer >= 1
    assert profile.back_patched.source_layer > profile.back_patched.target_layer
    assert not profile.back_patching
    assert 15 <= len(profile.replay) <= 20
    evidence = profile.evidence
    assert evidence["two_step"] - 0.05 <= evidence["cross_validated"] <= 1
    assert 0.9 <= evidence["cost"] <= 1.5
    assert len(evidence["identity_grid"]) == demo.parts.depth**2
    assert set(profile.confidence.routes) >= {"full", "two_step", "direct", "kept"}
    assert verdict(profile).startswith("deploy: ")


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(
    profile: Profile, demo: LoadedModel, tmp_path: Path, folder: Path
) -> None:
    steps: list[str] = []
    whole = calibrated(demo, tmp_path, steps)
    assert len(steps) == len(set(steps)) <= most_steps(demo.parts.depth)
    assert (steps[0], steps[-1]) == ("form plain", "replay")
    assert replace(profile, fitted=None) == replace(whole, fitted=None)
    names = [json.loads(line).get("name") for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert len(names) == len(set(names)), "nothing was computed twice"


def test_a_finished_step_is_not_run_again(profile: Profile, demo: LoadedModel, folder: Path) -> None:
    ran = 0

    async def go(corrector: Any) -> Profile:
        run = corrector.engine.run

        async def counting(request: Any) -> Any:
            nonlocal ran
            ran += 1
            return await run(request)

        corrector.engine.run = counting
        with Journal(folder, {"questions": len(QUESTIONS)}) as journal:
            return await calibrate(corrector, QUESTIONS, journal)

    assert Asked(demo)(go) == profile
    assert ran < 5 * len(QUESTIONS), "the replay's own passes, and nothing else"


def test_unknown_hops_get_less_confidence(profile: Profile, demo: LoadedModel) -> None:
    asked = [q.ask() for q in SUITE["test"][:60]], [q.ask() for q in SUITE["unknown"][:60]]
    known, unknown = (Asked(demo, profile)(lambda c, qs=qs: c.answer_all(qs)) for qs in asked)
    mean = [sum(answer.confidence for answer in answers) / len(answers) for answers in (known, unknown)]
    assert mean[0] > mean[1] + 0.3


def test_the_report_says_what_so_few_questions_cannot(profile: Profile, tmp_path: Path) -> None:
    write_report(tmp_path, profile)
    names = {file.name for file in tmp_path.iterdir()}
    assert names >= {"report.md", "identity.png", "ridge.png", "layers.png"}
    text = markdown(profile)
    assert verdict(profile) in text
    assert "With 90 questions a loss of 3.3 points could go unnoticed" in text


def test_shared_bridges_are_counted(profile: Profile) -> None:
    bridges = [q.bridge for q in SUITE["test"]]
    assert overlap(profile, bridges) == {"questions": 0, "bridges": 0}
    assert overlap(profile, [*bridges[:10], QUESTIONS[0].bridge, "", QUESTIONS[0].bridge]) == {
        "questions": 2,
        "bridges": 1,
    }
    assert overlap(replace(profile, evidence={}), bridges) == {"questions": None, "bridges": None}


@pytest.mark.parametrize(
    ("questions", "says"),
    [
        (QUESTIONS[:49], "49 questions are too few to choose from: give at least 50"),
        ([*QUESTIONS[:49], *some("one_hop:", 20)], "49 questions are too few"),
        (
            [replace(q, answer="nobody", answer_aliases=()) for q in QUESTIONS[:60]],
            "the model answers only 0 of the 60 questions in two steps: calibration needs at least 20",
        ),
    ],
)
def test_too_little_to_learn_from_is_refused(
    demo: LoadedModel, tmp_path: Path, questions: list[GoldQuestion], says: str
) -> None:
    with Journal(tmp_path, {}) as journal, pytest.raises(InvalidInput, match=says):
        Asked(demo)(lambda corrector: calibrate(corrector, questions, journal))


def test_a_model_whose_states_are_no_numbers_is_refused(demo: LoadedModel, tmp_path: Path) -> None:
    """As half precision gives where it overflows: a clear error, and nothing that looks like a profile."""
    broken = copy.deepcopy(demo.model)
    next(broken.model.layers[3].parameters()).data.fill_(float("nan"))
    loaded = replace(demo, model=broken, parts=Blocks.of(broken))
    with (
        Journal(tmp_path, {}) as journal,
        pytest.raises(EngineUnavailable, match="the model gives what is no number: check its weights, or load it"),
    ):
        Asked(loaded)(lambda corrector: calibrate(corrector, QUESTIONS, journal))
    assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl"]
