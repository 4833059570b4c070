"""A minute of everything at once: 256 connections, every kind of request, each answer checked; then nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

from eval.bench.serve.soak import AFTERWARDS, FLAT, MIX, soak
from eval.bench.serve.soak_report import markdown

SECONDS, CONNECTIONS, DISTINCT = 60.0, 256, 768
OUTCOMES = {"bad": "refused", "gone": "gone"}  # of all other kinds: right


@pytest.fixture(scope="module")
def minute() -> dict[str, Any]:
    found = soak(seconds=SECONDS, requests=None, connections=CONNECTIONS, distinct=DISTINCT)
    return {**found, "machine": {"processor": "", "cores": 0, "system": ""}}


def test_nothing_is_lost_crossed_wrong_or_failed(minute: dict[str, Any]) -> None:
    assert minute["faults"] == 0, markdown(minute)
    assert {int(status) // 100 for status in minute["statuses"]} <= {2, 4}


def test_every_kind_of_request_was_among_them(minute: dict[str, Any]) -> None:
    for kind, _ in MIX:
        assert minute["counts"][kind].get(OUTCOMES.get(kind, "right"), 0) > 0, markdown(minute)
    assert minute["answers"] > DISTINCT  # more than there are questions, and no answer is kept


def test_clients_that_came_and_left_took_no_place_with_them(minute: dict[str, Any]) -> None:
    assert minute["afterwards"] == AFTERWARDS, markdown(minute)


def test_the_memory_is_flat(minute: dict[str, Any]) -> None:
    assert minute["memory_growth"] <= FLAT, markdown(minute)
