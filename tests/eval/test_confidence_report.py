"""The summary of a confidence: groups count alike, and its intervals hold what they should."""

from __future__ import annotations

import json

import numpy as np
import pytest

from correction.errors import InvalidInput
from eval.confidence_report import confidence_markdown, confidence_summary
from eval.statistics import auroc, coverage_at_precision, expected_calibration_error, unseen_share

# Three kinds: mostly right and sure; half right; nothing to find, hence always wrong.
GROUPS = {
    "known": [(0.9 + 0.001 * n, n != 3) for n in range(50)],
    "hard": [(0.5 + 0.01 * n, n % 2 == 0) for n in range(20)],
    "invented": [(0.1 + 0.001 * n, False) for n in range(200)],
}
ANSWERABLE = {"known", "hard"}


def calibrated(seed: int, count: int) -> list[tuple[float, bool]]:
    rng = np.random.default_rng(seed)
    confidence = np.sqrt(rng.uniform(size=count))
    return [(float(c), bool(u < c)) for c, u in zip(confidence, rng.uniform(size=count), strict=True)]


def test_as_many_are_drawn_of_each_group() -> None:
    summary = confidence_summary(GROUPS, ANSWERABLE, draws=50)
    assert summary["n"] == 60
    assert [(g["n"], g["of"]) for g in summary["groups"].values()] == [(20, 50), (20, 20), (20, 200)]
    hard = summary["groups"]["hard"]  # all of it was drawn
    assert (hard["accuracy"], hard["mean_confidence"]) == (0.5, pytest.approx(0.595))
    assert summary["groups"]["invented"]["accuracy"] == 0.0
    assert sum(count for _, _, count in summary["reliability"]) == 60


def test_the_measures_are_those_of_the_drawn_questions() -> None:
    """Groups of one size are drawn whole, so that the measures can be taken from outside."""
    groups = {"known": GROUPS["known"][:20], "hard": GROUPS["hard"], "invented": GROUPS["invented"][:20]}
    items = [item for group in groups.values() for item in group]
    confidence, right = [c for c, _ in items], [r for _, r in items]
    summary = confidence_summary(groups, ANSWERABLE, precision=0.9, draws=50)
    assert summary["ece"] == pytest.approx(expected_calibration_error(confidence, right))
    assert summary["auroc"] == pytest.approx(auroc(confidence, right))
    # 20 known with one wrong: 95 % right. One more from the hard ones, the highest of which is wrong: 19 of 21.
    answerable = [True] * 40 + [False] * 20
    assert (summary["threshold"], summary["coverage"]) == coverage_at_precision(confidence, right, 0.9, answerable)
    assert summary["coverage"] > 0.5
    assert summary["precision"] == 0.9
    for name in ("ece", "auroc", "coverage"):
        low, high = summary[f"{name}_ci95"]
        assert 0 <= low <= summary[name] <= high <= 1
        assert low < high


def test_the_seed_decides_and_other_groups_do_not() -> None:
    first = confidence_summary(GROUPS, ANSWERABLE, draws=20)
    assert confidence_summary(GROUPS, ANSWERABLE, draws=20) == first
    other = confidence_summary(GROUPS, ANSWERABLE, seed=1, draws=20)
    assert other["groups"]["invented"] != first["groups"]["invented"]
    fewer = confidence_summary({k: GROUPS[k] for k in ("invented", "hard")}, {"hard"}, draws=20)
    assert fewer["groups"]["invented"] == first["groups"]["invented"]


def test_noise_is_not_taken_for_miscalibration() -> None:
    """A calibrated confidence has an error above 0 by chance, and resampled ones lie higher still: the interval
    reaches below the value nevertheless. One that is 20 points too sure is told from 0."""
    items = calibrated(0, 300)
    honest = confidence_summary({"all": items}, {"all"}, draws=200)
    assert honest["ece_ci95"][0] < 0.6 * honest["ece"]
    wrong = confidence_summary({"all": [(min(1.0, c + 0.2), r) for c, r in items]}, {"all"}, draws=200)
    assert wrong["ece_ci95"][0] > 0.1


def test_questions_of_one_bridge_count_as_one() -> None:
    """Each answer ten times over says no more than once, if the bootstrap is told so."""
    items = [item for item in calibrated(1, 40) for _ in range(10)]
    bridges = {"all": [str(number // 10) for number in range(400)]}
    alone = confidence_summary({"all": items}, {"all"}, draws=300)["auroc_ci95"]
    together = confidence_summary({"all": items}, {"all"}, clusters=bridges, draws=300)["auroc_ci95"]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_nothing_wrong_is_not_certainty() -> None:
    """Ten right answers at 1.0 and ten wrong ones at 0.0: no resample knows an error."""
    summary = confidence_summary({"a": [(1.0, True)] * 10, "b": [(0.0, False)] * 10}, {"a"}, draws=50)
    assert (summary["ece"], summary["auroc"], summary["threshold"], summary["coverage"]) == (0.0, 1.0, 1.0, 1.0)
    assert summary["ece_ci95"] == [0.0, pytest.approx(unseen_share(20))]
    assert summary["auroc_ci95"] == [pytest.approx(1 - unseen_share(10)), 1.0]
    assert summary["coverage_ci95"] == [pytest.approx(1 - unseen_share(10)), 1.0]
    bridges = {"a": ["x"] * 5 + ["y"] * 5, "b": ["z"] * 10}
    fewer = confidence_summary({"a": [(1.0, True)] * 10, "b": [(0.0, False)] * 10}, {"a"}, clusters=bridges, draws=50)
    assert fewer["coverage_ci95"] == [pytest.approx(1 - unseen_share(2)), 1.0]


def test_what_cannot_be_measured_is_none_and_the_rest_is_said() -> None:
    summary = confidence_summary({"a": [(0.9, False), (0.8, False)]}, {"a"}, draws=10)
    assert (summary["auroc"], summary["auroc_ci95"], summary["threshold"]) == (None, None, None)
    assert summary["coverage"] == 0.0
    json.dumps(summary, allow_nan=False)
    text = confidence_markdown(summary)
    assert "No threshold reaches that precision." in text
    assert "| AUROC | none | none |" in text


def test_bad_groups_are_refused() -> None:
    with pytest.raises(InvalidInput, match="group 'b' has no question"):
        confidence_summary({"a": [(0.9, True)], "b": []}, {"a"})
    with pytest.raises(InvalidInput, match="no question"):
        confidence_summary({}, set())
    with pytest.raises(InvalidInput, match="no group 'c': there are a"):
        confidence_summary({"a": [(0.9, True)]}, {"c"})


def test_the_report_for_people() -> None:
    summary = confidence_summary(GROUPS, ANSWERABLE, precision=0.9, draws=50)
    text = confidence_markdown(summary)
    assert text.startswith("60 questions, as many of each group. Answered where the confidence is at least 0.")
    assert "| coverage at 90% precision |" in text
    assert "| invented | 20 of 200 | no | 0.0% |" in text
    assert "| hard | 20 of 20 | yes | 50.0% | 59.5% |" in text
    assert text.count("\n| ") == 3 * 2 + 3 + 3 + len(summary["reliability"])
    json.dumps(summary, allow_nan=False)
