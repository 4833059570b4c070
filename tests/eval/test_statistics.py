"""Paired intervals and measures of confidence: cases by hand, and slow formulas on random data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.statistics import (
    auroc,
    bootstrap_interval,
    coverage_at_precision,
    expected_calibration_error,
    paired_interval,
    reliability,
    unseen_share,
)


def random_answers(seed: int, count: int = 200, decimals: int = 3) -> tuple[list[float], list[bool]]:
    """Confidences, many of them equal where there are few decimals, and answers right about that often."""
    rng = np.random.default_rng(seed)
    confidence = np.round(np.sqrt(rng.uniform(size=count)), decimals)
    return confidence.tolist(), (rng.uniform(size=count) < confidence).tolist()


class TestPairedInterval:
    def test_is_narrower_than_two_separate_intervals(self) -> None:
        """Forty hard questions are wrong in both, forty easy ones right: only eight of the rest differ."""
        first = [True] * 48 + [False] * 40
        second = [True] * 40 + [False] * 48
        bridges = [str(number) for number in range(88)]
        low, high = paired_interval(first, second, bridges)
        assert 0 < low < 8 / 88 < high < 0.2
        assert bootstrap_interval(first, bridges)[0] < bootstrap_interval(second, bridges)[1]

    def test_agrees_with_a_loop_over_resamples(self) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.uniform(size=(2, 60)).tolist()
        bridges = [str(number) for number in rng.integers(15, size=60)]
        means = []
        for _ in range(4000):
            drawn = rng.choice(sorted(set(bridges)), size=len(set(bridges)))
            rows = [row for bridge in drawn for row in range(60) if bridges[row] == bridge]
            means.append(np.mean([first[row] for row in rows]) - np.mean([second[row] for row in rows]))
        expected = np.quantile(means, [0.025, 0.975])
        assert paired_interval(first, second, bridges, draws=4000) == pytest.approx(tuple(expected), abs=0.012)

    def test_swapping_the_sides_turns_the_sign(self) -> None:
        first, second = [1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]
        low, high = paired_interval(first, second, list("abcd"))
        assert paired_interval(second, first, list("abcd")) == pytest.approx((-high, -low))

    def test_no_difference_is_not_certainty(self) -> None:
        """Ten bridges agree. At share u of disagreeing bridges this has the chance (1 - u)^10 = 0.025."""
        unseen = 1 - 0.025**0.1
        assert paired_interval([True] * 20, [True] * 20, [*"abcdefghij"] * 2) == pytest.approx((-unseen, unseen))
        assert unseen_share(10) == pytest.approx(unseen)
        assert unseen_share(300, level=0.9) == pytest.approx(3 / 300, rel=0.01)  # the rule of three

    def test_always_the_same_difference_is_not_certainty_either(self) -> None:
        low, high = paired_interval([True] * 4, [False] * 4, list("aabb"))
        assert (low, high) == pytest.approx((1 - 2 * unseen_share(2), 1))
        one_bridge = paired_interval([1.0, 1.0], [1.0, 0.0], ["a", "a"])  # its mean, 0.5, is all there is
        assert one_bridge == pytest.approx((0.5 - 0.975 * 1.5, 0.5 + 0.975 * 0.5))

    def test_no_question_says_nothing(self) -> None:
        assert paired_interval([], [], []) == (-1.0, 1.0)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(ValueError, match="2 and 1 scores of 2 questions"):
            paired_interval([1.0, 0.0], [1.0], ["a", "b"])


class TestReliability:
    def test_bins_hold_equally_many(self) -> None:
        """Nine of ten confidences near 1: two bins of five each, not of one and nine."""
        confidence = [0.2, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98]
        right = [False, True, True, True, False, True, True, True, True, True]
        assert reliability(confidence, right, 2) == [(pytest.approx(0.772), 0.6, 5), (pytest.approx(0.96), 1.0, 5)]
        wide = reliability(confidence, right, 2, equal_width=True)
        assert wide == [(0.2, 0.0, 1), (pytest.approx(0.94), pytest.approx(8 / 9), 9)]

    @pytest.mark.parametrize("count", [1, 7, 25, 200, 201])
    def test_without_equal_confidences_bins_differ_by_one_question_at_most(self, count: int) -> None:
        confidence = np.random.default_rng(0).permutation(count) / count
        sizes = [n for _, _, n in reliability(confidence, confidence > 0.5)]
        assert sum(sizes) == count
        assert len(sizes) == min(count, 10)
        assert max(sizes) - min(sizes) <= 1

    def test_equal_confidences_share_a_bin_and_leave_no_crumbs(self) -> None:
        """300 of 500 say 0.9: one bin. The two above them would make a bin that says nothing, and join it."""
        confidence = [*np.linspace(0, 0.8, 198), *[0.9] * 300, 0.99, 1.0]
        points = reliability(confidence, [True] * 500)
        assert points[-1][2] == 302
        assert sum(n for _, _, n in points) == 500
        assert all(n >= 25 for _, _, n in points)
        # The same at the other end, where there is no lower bin.
        mirrored = reliability([1 - c for c in confidence], [True] * 500)
        assert mirrored[0][2] == 302

    def test_the_order_of_the_questions_changes_nothing(self) -> None:
        confidence, right = random_answers(2, decimals=1)
        order = np.random.default_rng(3).permutation(len(right))
        shuffled = reliability(np.array(confidence)[order], np.array(right)[order])
        assert np.allclose(shuffled, reliability(confidence, right), atol=1e-12)

    def test_a_confidence_is_a_probability(self) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            reliability([1.2], [True])
        with pytest.raises(ValueError, match="not a number"):
            reliability([math.nan], [True])
        with pytest.raises(ValueError, match="1 confidences of 2 answers"):
            reliability([0.5], [True, False])


class TestExpectedCalibrationError:
    def test_by_hand(self) -> None:
        """Sure 0.6 of four, three right: 0.15 off. Sure 0.9 of four, two right: 0.4 off."""
        confidence, right = [0.6] * 4 + [0.9] * 4, [True] * 3 + [False] + [True] * 2 + [False] * 2
        assert expected_calibration_error(confidence, right) == pytest.approx((0.15 + 0.4) / 2)
        assert expected_calibration_error(confidence, right, equal_width=True) == pytest.approx((0.15 + 0.4) / 2)
        assert expected_calibration_error([1.0] * 5, [True] * 5) == 0.0

    @pytest.mark.parametrize("seed", range(5))
    def test_agrees_with_the_definition(self, seed: int) -> None:
        confidence, right = random_answers(seed, count=200, decimals=15)
        order = np.argsort(confidence)
        chunks = [order[start : start + 20] for start in range(0, 200, 20)]
        slow = sum(abs(sum(right[row] - confidence[row] for row in chunk)) for chunk in chunks) / 200
        assert expected_calibration_error(confidence, right) == pytest.approx(slow)
        wide = 0.0
        for number in range(10):
            inside = [row for row in range(200) if number <= 10 * confidence[row] < number + 1]
            wide += abs(sum(right[row] - confidence[row] for row in inside)) / 200
        assert expected_calibration_error(confidence, right, equal_width=True) == pytest.approx(wide)

    def test_of_nothing_is_no_number(self) -> None:
        with pytest.raises(ValueError, match="no question"):
            expected_calibration_error([], [])


class TestAuroc:
    def test_by_hand(self) -> None:
        assert auroc([0.1, 0.9], [False, True]) == 1.0
        assert auroc([0.1, 0.9], [True, False]) == 0.0
        assert auroc([0.5, 0.5, 0.5], [True, False, True]) == 0.5
        # Of four pairs (right, wrong) two are in order, one is a tie, one is not.
        assert auroc([0.9, 0.4, 0.4, 0.6], [True, True, False, False]) == pytest.approx(2.5 / 4)

    def test_needs_both_right_and_wrong_answers(self) -> None:
        assert auroc([0.1, 0.9], [True, True]) is None
        assert auroc([0.1, 0.9], [False, False]) is None
        assert auroc([], []) is None

    @pytest.mark.parametrize("decimals", [1, 6])
    def test_agrees_with_counting_pairs(self, decimals: int) -> None:
        confidence, right = random_answers(4, decimals=decimals)
        ups = [c for c, r in zip(confidence, right, strict=True) if r]
        downs = [c for c, r in zip(confidence, right, strict=True) if not r]
        wins = sum((up > down) + (up == down) / 2 for up in ups for down in downs)
        assert auroc(confidence, right) == pytest.approx(wins / (len(ups) * len(downs)))


class TestCoverageAtPrecision:
    CONFIDENCE = (0.9, 0.8, 0.7, 0.6, 0.5)
    RIGHT = (True, True, False, True, True)

    def test_by_hand(self) -> None:
        """Precision from each threshold down: 1, 1, 2/3, 3/4, 4/5. It need not fall steadily."""
        assert coverage_at_precision(self.CONFIDENCE, self.RIGHT, 1.0) == (0.8, 0.4)
        assert coverage_at_precision(self.CONFIDENCE, self.RIGHT, 0.8) == (0.5, 1.0)
        assert coverage_at_precision(self.CONFIDENCE[:4], self.RIGHT[:4], 0.7) == (0.6, 1.0)
        assert coverage_at_precision(self.CONFIDENCE[:3], self.RIGHT[:3], 0.7) == (0.8, pytest.approx(2 / 3))

    def test_counts_the_answerable_only(self) -> None:
        answerable = (True, True, False, True, True)
        assert coverage_at_precision(self.CONFIDENCE, self.RIGHT, 1.0, answerable) == (0.8, 0.5)
        assert coverage_at_precision([0.9], [True], 1.0, [False]) == (0.9, 0.0)
        with pytest.raises(ValueError, match="1 marks of 5 questions"):
            coverage_at_precision(self.CONFIDENCE, self.RIGHT, 1.0, [True])

    def test_no_threshold_will_do(self) -> None:
        assert coverage_at_precision([0.9, 0.8], [False, True], 0.99) == (math.inf, 0.0)
        assert coverage_at_precision([], [], 0.99) == (math.inf, 0.0)

    def test_equal_confidences_are_answered_together(self) -> None:
        assert coverage_at_precision([0.9, 0.9, 0.5], [True, False, True], 0.9) == (math.inf, 0.0)

    def test_a_precision_that_is_just_reached_counts(self) -> None:
        """7 of 100 is 0.07, although 0.07 * 100 is more than 7 in floating point."""
        assert coverage_at_precision([0.5] * 100, [True] * 7 + [False] * 93, 0.07) == (0.5, 1.0)

    @pytest.mark.parametrize("decimals", [1, 6])
    @pytest.mark.parametrize("precision", [0.7, 0.9, 0.99])
    def test_agrees_with_trying_every_threshold(self, decimals: int, precision: float) -> None:
        confidence, right = random_answers(5, decimals=decimals)
        good = []
        for threshold in set(confidence):
            answered = [r for c, r in zip(confidence, right, strict=True) if c >= threshold]
            if sum(answered) / len(answered) >= precision:
                good.append((threshold, len(answered) / len(right)))
        assert coverage_at_precision(confidence, right, precision) == min(good, default=(math.inf, 0.0))
