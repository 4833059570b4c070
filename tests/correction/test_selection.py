"""Selection: the plain answer stays unless another is surer by the margin; equal names are one answer."""

from __future__ import annotations

import pytest

from correction.confidence import Confidence, Signs, Weights
from correction.selection import Judged, beside, compared, kept_signs, normal, same

EVEN = Confidence({route: Weights(0, 1, 1, 0, 0, 9, 1) for route in ("compared", "kept")})


def judged(text: str, answer: float, bridge: float | None = None) -> Judged:
    return Judged(text, Signs("direct" if bridge is None else "marginal", answer, bridge))


@pytest.mark.parametrize(
    ("one", "other"), [("the euro", "Euro"), ("Paris.", "paris"), ('"Dune"', "Dune"), ("A Coruña", "a coruña")]
)
def test_equal_names(one: str, other: str) -> None:
    assert same(one, other)


def test_different_names() -> None:
    assert not same("Guinea", "Guinea-Bissau")
    assert normal("Theodore") == "theodore"


def test_a_surer_answer_overrules_the_plain_one_by_more_than_the_margin() -> None:
    found = compared([judged("Rome", 0.9, 0.9), judged("Milan", 0.2, 0.05)], judged("Paris", 0.5), EVEN)
    assert (found.kept, found.rival) == (None, 0)
    assert found.surest > found.plain
    assert found.overrules(0.0)
    assert not found.overrules(found.surest - found.plain)


def test_an_answer_that_agrees_with_the_plain_one_is_surer_for_it() -> None:
    plain = judged("The Euro", 0.7)
    found = compared([judged("euro", 0.6, 0.5), judged("pound", 0.6, 0.4)], plain, EVEN)
    assert (found.kept, found.rival) == (0, 1)
    assert found.plain > found.surest
    assert beside(judged("euro", 0.6, 0.5), plain).plain == pytest.approx(0.85)
    assert beside(judged("pound", 0.6, 0.4), plain).plain == pytest.approx(0.15)


def test_an_empty_answer_is_none() -> None:
    assert compared([judged("", 0.99, 0.99)], judged("Paris", 0.1), EVEN).rival is None
    assert compared([judged("Rome", 0.01, 0.01)], judged("", 0.99), EVEN).overrules(0.9)


def test_a_plain_answer_that_nobody_shares_has_what_the_others_leave() -> None:
    assert kept_signs([judged("Rome", 0.5, 0.5)], judged("Paris", 0.8)) == Signs("kept", 0.8, 0.75, None)
