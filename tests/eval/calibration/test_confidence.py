"""Fitted confidence: a probability that follows the truth, and stays sober where there is little to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from correction.confidence import Confidence, Signs
from eval.calibration.confidence import FEWEST, fit_confidence
from eval.statistics import expected_calibration_error


def drawn(count: int, seed: int, route: str = "full") -> list[tuple[Signs, bool]]:
    """Answers whose chance of being right is a known function of what they show."""
    dice = np.random.default_rng(seed)
    rows = []
    for bridge, answer in dice.random((count, 2)):
        signs = Signs(route, float(answer), float(bridge))
        score = -1 + 0.5 * signs.log_odds[0] + 1.5 * signs.log_odds[1]
        rows.append((signs, bool(dice.random() < 1 / (1 + np.exp(-score)))))
    return rows


def test_known_weights_are_found_and_confidence_is_calibrated() -> None:
    confidence = fit_confidence(drawn(4000, 0))
    weights = confidence.routes["full"]
    assert (weights.bias, weights.bridge, weights.answer) == pytest.approx((-1, 1.5, 0.5), abs=0.15)
    unseen = drawn(4000, 1)
    assert expected_calibration_error([confidence.of(s) for s, _ in unseen], [ok for _, ok in unseen]) < 0.03


def test_routes_are_fitted_apart() -> None:
    good = [(Signs("exit", 0.9, 0.9), True)] * 50
    bad = [(Signs("kept", 0.9, 0.9), False)] * 50
    confidence = fit_confidence([*good, *bad])
    assert confidence.of(Signs("exit", 0.9, 0.9)) > 0.9
    assert confidence.of(Signs("kept", 0.9, 0.9)) < 0.1


def test_without_a_wrong_answer_confidence_stays_below_one_and_still_ranks() -> None:
    """Separable data would drive the weights of a plain fit to infinity."""
    confidence = fit_confidence([(Signs("full", 0.99, 0.99), True)] * 60)
    sure, unsure = (confidence.of(Signs("full", 0.99, p)) for p in (0.99, 0.2))
    assert unsure < sure < 1


def test_no_weight_is_negative() -> None:
    """Ten answers in which the improbable ones are right by chance."""
    rows = [(Signs("full", 0.9, 0.1 + 0.08 * n), n < 5) for n in range(10)]
    assert fit_confidence(rows).routes["full"].bridge == 0


def test_a_route_hardly_seen_keeps_the_product() -> None:
    confidence = fit_confidence([(Signs("marginal", 0.5, 0.5), True)] * (FEWEST - 1))
    assert confidence == Confidence({})
    assert confidence.of(Signs("marginal", 0.4, 0.5)) == pytest.approx(0.2)


def test_a_sign_that_a_route_does_not_have_counts_nothing() -> None:
    assert Signs("direct", 0.5).log_odds == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert Signs("direct", 0.5).product == 0.5
    assert Signs("exit", 0.5, 0.5, 0.9, 0.1).product == 0.25


def test_what_an_early_layer_knows_raises_confidence() -> None:
    """Right answers whose first token is likely early, wrong ones whose is not; else they look alike."""
    rows = [(Signs("exit", 0.9, 0.9, 0.9, 0.7 if n % 2 else 0.05), bool(n % 2)) for n in range(100)]
    confidence = fit_confidence(rows)
    assert confidence.of(rows[1][0]) > 0.9 > 0.1 > confidence.of(rows[0][0])


@pytest.mark.parametrize("signs", [Signs("full", 1.0, 1.0), Signs("full", 0.0, 0.0), Signs("full", 1.0, 1e-300)])
def test_the_ends_of_the_scale_are_no_error(signs: Signs) -> None:
    assert 0 <= fit_confidence(drawn(200, 2)).of(signs) <= 1
