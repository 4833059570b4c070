"""Ratios of two sides that ran in turn. A shared machine drifts: a ratio is taken within a round, not of medians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """The median over the rounds, and the least and the most of any round: how far one run is to be believed."""

    median: float
    least: float
    most: float


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Of two sides, round by round."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(median(each), min(each), max(each))
