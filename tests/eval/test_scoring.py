"""Scoring and statistics on cases that can be checked by hand."""

from __future__ import annotations

import pytest

from eval.scoring import exact_match, f1, normalise
from eval.statistics import bootstrap_interval, mcnemar


@pytest.mark.parametrize(
    ("said", "accepted", "right"),
    [
        ("Rand", ["rand"], True),
        ("the rand.", ["rand"], True),
        ("South African rand", ["rand"], False),
        ("South African rand", ["rand", "South African rand"], True),
        ("+27", ["+27"], True),
        (".za", [".za"], True),
        ("", [""], False),
        ("the", ["a"], False),  # nothing is left of either
        ("New  York", ["new york"], True),
    ],
)
def test_exact_match(said: str, accepted: list[str], right: bool) -> None:
    assert exact_match(said, accepted) is right


def test_f1_is_the_best_over_aliases() -> None:
    assert f1("South African rand", ["rand"]) == pytest.approx(0.5)
    assert f1("South African rand", ["rand", "south african Rand"]) == 1.0
    assert f1("yen", ["rand"]) == 0.0
    assert normalise("The  (Great) Gatsby!") == "great gatsby"


def test_the_bootstrap_resamples_bridges_not_questions() -> None:
    """Forty questions on four bridges say no more than four questions do."""
    scores = [1.0] * 20 + [0.0] * 20
    clustered = bootstrap_interval(scores, [str(i // 10) for i in range(40)])
    single = bootstrap_interval(scores, [str(i) for i in range(40)])
    assert clustered[1] - clustered[0] > 1.5 * (single[1] - single[0])
    assert single[0] < 0.5 < single[1]


def test_nothing_wrong_is_not_certainty() -> None:
    """Nine right questions on nine bridges: Clopper and Pearson's lower bound is 0.025 to the ninth root."""
    assert bootstrap_interval([1.0] * 9, list("abcdefghi")) == pytest.approx((0.025 ** (1 / 9), 1.0))
    assert bootstrap_interval([1.0] * 9, ["a"] * 9)[0] == pytest.approx(0.025)


def test_mcnemar_counts_only_disagreements() -> None:
    assert mcnemar([True] * 5 + [False] * 5, [True] * 5 + [False] * 5) == 1.0
    # Eight to nothing: two-sided 2 * (1/2)^8.
    assert mcnemar([True] * 8 + [True] * 50, [False] * 8 + [True] * 50) == pytest.approx(2 / 256)


def test_a_bootstrap_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [float(n % 3 == 0) for n in range(90)]
    clusters = [str(n // 2) for n in range(90)]
    at_once = bootstrap_interval(scores, clusters)
    monkeypatch.setattr("eval.statistics.DRAWN_AT_ONCE", 100)
    assert bootstrap_interval(scores, clusters) == pytest.approx(at_once, abs=0.02)
