"""What is decided once the setting is known: the weights of the confidence, and below which the plain answer is asked.

Both are also made on each fold's other bridges and applied to its own, which is where the profile's figures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from correction.confidence import Confidence, Signs
from eval.calibration.choosing import Rows, Setting, Ways, choose, folds, share
from eval.calibration.confidence import fit_confidence
from eval.calibration.observations import Said
from eval.questions import GoldQuestion
from eval.statistics import auroc, coverage_at_precision, expected_calibration_error

SELECTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PRECISION = 0.99


@dataclass(frozen=True)
class Decided:
    """The confidence, the `select` threshold, and the figures of the cross-validation."""

    confidence: Confidence
    select: float
    evidence: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Everything that was observed, by question; `alone` are the one-hop questions."""

    ways: Ways
    direct: Sequence[Said]
    two_step: Sequence[Said]
    alone: Sequence[Said]


def decide(
    ways: Ways,
    setting: Setting,
    questions: Sequence[GoldQuestion],
    direct: Sequence[Said],
    two_step: Sequence[Said],
    alone: Sequence[Said],
) -> Decided:
    """The confidence and threshold for this setting, and what all choices together are worth on unseen bridges."""
    seen = _Seen(ways, direct, two_step, alone)
    everything = np.arange(len(questions))
    confidence = _confidence(seen, setting, everything)
    select = _select(seen, setting, confidence, everything)

    right, sure, cost = [False] * len(questions), [0.0] * len(questions), [0.0] * len(questions)
    for inside, outside in folds([q.bridge for q in questions]):
        chosen = choose(ways, inside)
        weights = _confidence(seen, chosen, inside)
        threshold = _select(seen, chosen, weights, inside)
        answers = _answers(seen, chosen, weights, threshold)
        for row in outside:
            right[row], sure[row], cost[row] = answers[row]
    threshold, coverage = coverage_at_precision(sure, right, PRECISION)
    evidence = {
        "questions": len(questions),
        "bridges": len({q.bridge for q in questions}),
        "one_hop": len(alone),
        "direct": share([one.right for one in direct]),
        "two_step": share([one.right for one in two_step]),
        "cross_validated": share(right),
        "direct_right": sum(one.right for one in direct),
        "broken": sum(one.right and not now for one, now in zip(direct, right, strict=True)),
        "fixed": sum(now and not one.right for one, now in zip(direct, right, strict=True)),
        "cost": ways.cost(cost, range(len(questions))),
        "by_layer": {
            mapping: {
                str(layer): share([one.right for one in given])
                for (layer, m), given in ways.exits.items()
                if m == mapping
            }
            for mapping in dict.fromkeys(mapping for _, mapping in ways.exits)
        },
        "weighed": {str(count): share([one.right for one in given]) for count, given in ways.weighed.items()},
        "confidence": {
            "ece": expected_calibration_error(sure, right),
            "auroc": auroc(sure, right),
            "precision": PRECISION,
            "threshold": threshold if np.isfinite(threshold) else None,
            "coverage": coverage,
        },
    }
    return Decided(confidence, select, evidence)


def _confidence(seen: _Seen, setting: Setting, rows: Rows) -> Confidence:
    """Fitted on every answer that could come by a route with this setting, not only on those that would."""
    ways = seen.ways
    taken = ways.says(setting)
    full = ways.says(replace(setting, layer=ways.depth, exit=0.0))
    pairs: list[tuple[Signs, bool]] = [(one.signs, one.right) for one in seen.alone]
    for row in rows:
        given = [taken[row][0], seen.two_step[row]]
        if given[0].signs.route == "exit":
            given.append(full[row][0])
        pairs += [(one.signs, one.right) for one in given]
        pairs.append((_kept(seen.direct[row]), seen.direct[row].right))
    return fit_confidence(pairs)


def _kept(one: Said) -> Signs:
    """A plain answer to a question whose hops are known."""
    return replace(one.signs, route="kept")


def _answers(seen: _Seen, setting: Setting, confidence: Confidence, select: float) -> list[tuple[bool, float, float]]:
    """Right, confidence and cost of what `deployed` would return for each question."""
    given = []
    for (one, cost), plain in zip(seen.ways.says(setting), seen.direct, strict=True):
        right, sure, paid = one.right, confidence.of(one.signs), cost
        if sure < select:
            paid += plain.cost
            if (other := confidence.of(_kept(plain))) > sure:
                right, sure = plain.right, other
        given.append((right, sure, paid))
    return given


def _select(seen: _Seen, setting: Setting, confidence: Confidence, rows: Rows) -> float:
    """The threshold with the most right answers; of equals the lowest, which asks least often."""

    def right(select: float) -> int:
        answers = _answers(seen, setting, confidence, select)
        return sum(answers[row][0] for row in rows)

    return max(SELECTS, key=lambda select: (right(select), -select))
