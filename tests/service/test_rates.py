"""Questions a second, for each client on its own. Time is a number here."""

from __future__ import annotations

import pytest

from service import rates as rates_module
from service.errors import RateLimited
from service.rates import Rates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def accepted(rates: Rates, client: str, tries: int) -> int:
    """How many of so many requests at once are let in."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(client)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_seconds_worth_at_once_and_then_the_rate(clock: Clock) -> None:
    rates = Rates(lambda client: 5.0, clock)
    assert accepted(rates, "a", 20) == 5
    for _ in range(50):
        clock.now += 0.2
        assert accepted(rates, "a", 20) == 1
    clock.now += 1e6  # what was not used is not saved up
    assert accepted(rates, "a", 20) == 5


def test_over_a_long_time_it_is_the_rate(clock: Clock) -> None:
    rates = Rates(lambda client: 3.0, clock)
    count = 0
    for _ in range(10_000):
        clock.now += 0.01
        count += accepted(rates, "a", 2)
    assert count == pytest.approx(300, abs=3)


def test_clients_do_not_share(clock: Clock) -> None:
    rates = Rates({"a": 2.0, "b": 3.0}.get, clock)
    assert [accepted(rates, client, 10) for client in ("a", "b", "c")] == [2, 3, 10]


def test_a_slow_rate_lets_one_question_in(clock: Clock) -> None:
    rates = Rates(lambda client: 0.1, clock)
    assert accepted(rates, "a", 3) == 1
    clock.now += 9.5
    assert accepted(rates, "a", 3) == 0
    clock.now += 0.5
    assert accepted(rates, "a", 3) == 1


def test_a_list_is_let_in_whole_and_its_questions_count(clock: Clock) -> None:
    rates = Rates(lambda client: 10.0, clock)
    rates.take("a")
    rates.charge("a", 255)
    clock.now += 24
    assert accepted(rates, "a", 1) == 0
    clock.now += 1
    assert accepted(rates, "a", 1) == 1


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.0, 1000.0])
def test_retry_after_is_when_the_next_is_let_in(clock: Clock, rate: float) -> None:
    rates = Rates(lambda client: rate, clock)
    rates.take("a")
    rates.charge("a", 20 + 3 * int(rate))
    with pytest.raises(RateLimited) as refused:
        rates.take("a")
    clock.now += refused.value.retry_after - 1
    assert accepted(rates, "a", 1) == 0
    clock.now += 1
    assert accepted(rates, "a", 1) == 1


def test_being_refused_costs_nothing(clock: Clock) -> None:
    rates = Rates(lambda client: 1.0, clock)
    assert accepted(rates, "a", 100) == 1
    clock.now += 1
    assert accepted(rates, "a", 100) == 1


def test_memory_is_bounded_and_forgets_who_loses_least(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MOST_CLIENTS", 100)
    rates = Rates(lambda client: 1.0, clock)
    rates.take("greedy")
    rates.charge("greedy", 1000)
    for number in range(1000):
        rates.take(f"address {number}")
        assert len(rates._used_until) <= 101
    assert accepted(rates, "greedy", 1) == 0
