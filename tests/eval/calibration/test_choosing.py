"""The choice on paper: which layer to leave hop 1 at and when to turn to a costlier way, from what the ways said."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from correction.confidence import Route, Signs
from eval.calibration.choosing import FEWEST_FOR_EXITS, MARGIN, WORTH, Setting, Ways, _Scores, choose, folds
from eval.calibration.observations import Said

COUNT = 800


def say(right: bool, route: Route, bridge: float, cost: int, answer: float = 0.9) -> Said:
    return Said("yes" if right else "no", right, Signs(route, answer, bridge), cost, 1)


def ways(
    early: list[tuple[bool, float]],
    full: list[tuple[bool, float]],
    weighed: list[bool],
    answers: list[tuple[bool, float]] | None = None,
) -> Ways:
    """Two layers, one mapping: leaving at layer 1 costs 60, running in full 100, weighing 300; each hop costs 50.

    `answers` are what the last hop gives when it is left at layer 1: right or not, and with which probability.
    """
    last = answers or [(False, 0.0)] * len(early)
    return Ways(
        2,
        {
            (1, "vocabulary"): [say(ok, "exit", p, 60) for ok, p in early],
            (2, "vocabulary"): [say(ok, "full", p, 100) for ok, p in full],
        },
        {3: [say(ok, "marginal", 0.5, 300) for ok in weighed]},
        {(1, "vocabulary"): [say(ok, "full", 0.99, 75, p) for ok, p in last]},
        [50] * len(early),
        [say(True, "two_step", 0.99, 100)] * len(early),
    )


def test_the_cheapest_of_equals_is_chosen() -> None:
    """All ways are right: leave early, weigh nothing."""
    observed = ways([(True, 0.95)] * COUNT, [(True, 0.99)] * COUNT, [True] * COUNT)
    setting = choose(observed)
    assert (setting.layer, setting.sure, setting.answer_layer) == (1, 0.0, None)
    assert [cost for _, cost in observed.says(setting)] == [60.0] * COUNT


def test_few_questions_leave_no_hop_early() -> None:
    """One in a hundred lost would hardly show among them."""
    few = FEWEST_FOR_EXITS - 1
    observed = ways([(True, 0.95)] * few, [(True, 0.99)] * few, [True] * few, [(True, 0.95)] * few)
    setting = choose(observed)
    assert (setting.layer, setting.answer_layer) == (2, None)


def test_an_early_layer_that_errs_in_doubt_gets_a_threshold() -> None:
    """Below 0.55 it is wrong; a threshold of 0.6 catches that, and the profile's is a margin above."""
    early = [(number % 4 > 0, 0.5 if number % 4 == 0 else 0.95) for number in range(COUNT)]
    observed = ways(early, [(True, 0.99)] * COUNT, [True] * COUNT)
    setting = choose(observed)
    assert (setting.layer, setting.exit) == (1, pytest.approx(0.6 + MARGIN))
    answers = observed.says(setting)
    assert all(said.right for said, _ in answers)
    assert answers[0][1] == 100 + 50 / 2, "the reading that was not believed is paid for"


def test_an_early_layer_that_errs_with_confidence_is_not_used() -> None:
    early = [(number % 4 > 0, 0.95) for number in range(COUNT)]
    assert choose(ways(early, [(True, 0.99)] * COUNT, [True] * COUNT)).layer == 2


def test_an_early_layer_that_blurs_right_and_wrong_is_not_used() -> None:
    """Both get the same half right; only in full does the probability tell which."""
    right = [number % 2 == 0 for number in range(COUNT)]
    full = [(ok, 0.95 if ok else 0.3) for ok in right]
    early = [(ok, 0.95) for ok in right]
    assert choose(ways(early, full, right)).layer == 2


def test_unsure_bridges_are_weighed_where_that_helps() -> None:
    full = [(number % 4 > 0, 0.55 if number % 4 == 0 else 0.99) for number in range(COUNT)]
    observed = ways([(False, 0.1)] * COUNT, full, [True] * COUNT)
    setting = choose(observed)
    assert 0.55 < setting.sure <= 0.99
    assert [said.signs.route for said, _ in observed.says(setting)[:3]] == ["marginal", "full", "full"]


def test_weighing_that_does_not_help_is_not_paid_for() -> None:
    full = [(number % 4 > 0, 0.55 if number % 4 == 0 else 0.99) for number in range(COUNT)]
    assert choose(ways([(False, 0.1)] * COUNT, full, [ok for ok, _ in full])).sure == 0.0


def test_the_last_hop_is_left_early_where_its_answers_stay_right() -> None:
    """Left at layer 1 its improbable answers are wrong, and are asked for again in full."""
    last = [(number % 5 > 0, 0.45 if number % 5 == 0 else 0.95) for number in range(COUNT)]
    observed = ways([(False, 0.1)] * COUNT, [(True, 0.99)] * COUNT, [True] * COUNT, last)
    setting = choose(observed)
    assert (setting.layer, setting.answer_layer, setting.answer) == (2, 1, pytest.approx(0.5 + MARGIN))
    answers = observed.says(setting)
    assert all(said.right for said, _ in answers)
    assert [cost for _, cost in answers[:2]] == [100 + 25, 100 - 25]
    assert answers[1][0].signs.answer == 0.95


def test_scores_on_arrays_are_those_of_the_answers() -> None:
    dice = np.random.default_rng(0)
    early = [(bool(dice.random() < 0.8), float(dice.random())) for _ in range(COUNT)]
    full = [(bool(dice.random() < 0.9), float(dice.random())) for _ in range(COUNT)]
    observed = ways(early, full, [bool(dice.random() < 0.95) for _ in range(COUNT)])
    rows = dice.permutation(COUNT)[:100]
    scores = _Scores(observed, rows)
    for layer, exit, sure in product((1, 2), (0.3, 0.6), (0.0, 0.5, 0.9)):
        setting = Setting(layer, "vocabulary", exit if layer == 1 else 0.0, sure, 3)
        answers = [observed.says(setting)[row] for row in rows]
        worth = sum(said.right for said, _ in answers) - WORTH * sum(cost for _, cost in answers) / 100
        assert scores.worth(setting) == pytest.approx(worth)


def test_no_bridge_is_on_both_sides_of_a_fold() -> None:
    bridges = [f"b{number % 37}" for number in range(COUNT)]
    seen: list[int] = []
    for inside, outside in folds(bridges):
        assert not {bridges[row] for row in inside} & {bridges[row] for row in outside}
        assert len(inside) + len(outside) == COUNT
        seen += outside.tolist()
    assert sorted(seen) == list(range(COUNT))


def test_a_choice_looks_at_its_rows_only() -> None:
    """Early exit errs on the second half; chosen on the first it is taken all the same."""
    early = [(number < COUNT // 2, 0.95) for number in range(COUNT)]
    observed = ways(early, [(True, 0.99)] * COUNT, [True] * COUNT)
    assert choose(observed, np.arange(COUNT // 2)).layer == 1
    assert choose(observed) == Setting(2, "vocabulary", 0.0, 0.0, 3)
