"""What is decided: the setting, the weights of the confidence, when the plain answer is asked for, and when it stays.

All are also made on each fold's other bridges and applied to its own, which is where the profile's figures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from correction.confidence import Confidence, Signs
from correction.selection import beside, compared, kept_signs
from eval.calibration.choosing import Rows, Setting, Ways, choose, folds, share
from eval.calibration.confidence import fit_confidence
from eval.calibration.observations import Said
from eval.questions import GoldQuestion
from eval.statistics import auroc, coverage_at_precision, expected_calibration_error

SELECTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
BROKEN = 0.02  # at most this share of what the plain answer has right, or of what is fixed, may be lost
FRONTIER = (0.0, 0.05, 0.1, 1.0)  # other limits, whose figures are reported
ALWAYS = 1.01  # a `sure` that no probability reaches
WORTHWHILE = 0.01  # of the questions: by so much weighing every bridge must be better
PRECISION = 0.99

Marks = npt.NDArray[np.bool_]
Figures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decided:
    """The setting, the confidence, the thresholds `select` and `margin`, and the figures of the cross-validation."""

    setting: Setting
    confidence: Confidence
    select: float
    margin: float
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
    questions: Sequence[GoldQuestion],
    direct: Sequence[Said],
    two_step: Sequence[Said],
    alone: Sequence[Said],
) -> Decided:
    """The setting, its confidence and thresholds, and what all choices together are worth on unseen bridges."""
    seen = _Seen(ways, direct, two_step, alone)
    everything = np.arange(len(questions))
    made = _made(seen, everything)
    select, margin = made.thresholds(seen, everything, BROKEN)

    # What is returned for each question, by the most that may be broken.
    settled = {most: np.zeros((3, len(questions))) for most in (BROKEN, *FRONTIER)}
    for inside, outside in folds([q.bridge for q in questions]):
        other = _made(seen, inside)
        for most, rows in settled.items():
            found = other.outcomes.settled(*other.thresholds(seen, inside, most))
            rows[:, outside] = np.stack(found)[:, outside]
    rights, sure, cost = (row.tolist() for row in settled[BROKEN])
    right = [bool(one) for one in rights]
    threshold, coverage = coverage_at_precision(sure, right, PRECISION)
    evidence = {
        "questions": len(questions),
        "bridges": len({q.bridge for q in questions}),
        "one_hop": len(alone),
        "direct": share([one.right for one in direct]),
        "two_step": share([one.right for one in two_step]),
        "cross_validated": share(right),
        "direct_right": sum(one.right for one in direct),
        "broken": _broken(direct, right),
        "two_step_broken": sum(one.right and not now.right for one, now in zip(direct, two_step, strict=True)),
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
        "frontier": [
            {"most_broken": most, "right": share(rows[0] > 0), "broken": _broken(direct, rows[0] > 0)}
            for most, rows in sorted(settled.items())
        ],
        "weighed": {str(count): share([one.right for one in given]) for count, given in ways.weighed.items()},
        "confidence": {
            "ece": expected_calibration_error(sure, right),
            "auroc": auroc(sure, right),
            "precision": PRECISION,
            "threshold": threshold if np.isfinite(threshold) else None,
            "coverage": coverage,
        },
    }
    return Decided(made.setting, made.confidence, select, margin, evidence)


def _broken(direct: Sequence[Said], right: Sequence[bool]) -> int:
    return sum(one.right and not now for one, now in zip(direct, right, strict=True))


@dataclass(frozen=True, eq=False)
class _Made:
    """A setting with its confidence, and what it could return."""

    setting: Setting
    confidence: Confidence
    outcomes: _Outcomes

    def thresholds(self, seen: _Seen, rows: Rows, most: float) -> tuple[float, float]:
        """`select` and `margin`: the most right answers among those that break at most this share of what direct has
        right, or of what is fixed, if that is more. Where none breaks so few, those that break the fewest. Of equals
        the lowest."""
        direct = np.array([one.right for one in seen.direct])[rows]

        def rank(thresholds: tuple[float, float]) -> tuple[bool, int, int, float, float]:
            right = self.outcomes.settled(*thresholds)[0][rows]
            broken, fixed = int((direct & ~right).sum()), int((right & ~direct).sum())
            allowed = broken <= most * max(direct.sum(), fixed)
            return allowed, int(right.sum()) if allowed else -broken, int(right.sum()), -thresholds[0], -thresholds[1]

        return max(product(SELECTS, MARGINS), key=rank)

    def right(self, seen: _Seen, rows: Rows) -> int:
        """How many answers are right once the plain ones are known."""
        return int(self.outcomes.settled(*self.thresholds(seen, rows, BROKEN))[0][rows].sum())


def _made(seen: _Seen, rows: Rows) -> _Made:
    """The best setting for these rows. `choose` looks at corrected answers alone; beside the plain answer it can be
    worth weighing every bridge, which gives more answers to choose from, if that is clearly better."""
    chosen = choose(seen.ways, rows)
    always = [replace(chosen, layer=seen.ways.depth, exit=0.0, sure=ALWAYS, bridges=n) for n in seen.ways.weighed]
    best, *others = (
        _Made(setting, confidence, _outcomes(seen, setting, confidence))
        for setting in (chosen, *always)
        for confidence in [_confidence(seen, setting, rows)]
    )
    found = best.right(seen, rows)
    for other in others:
        if (right := other.right(seen, rows)) >= found + WORTHWHILE * len(rows):
            best, found = other, right
    return best


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
        plain, candidates = seen.direct[row], [one.judged for one in taken[row][0].candidates]
        pairs += [(beside(one.judged, plain.judged), one.right) for one in taken[row][0].candidates]
        pairs.append((kept_signs(candidates, plain.judged), plain.right))
    return fit_confidence(pairs)


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """What `deployed` could return for each question of a setting, by column. first: what it gives unless it asks for
    the plain answer. kept: that, where it is asked for and stays. rival: what could overrule it."""

    first: Marks
    sure: Figures
    cost: Figures
    compares: Marks
    plain_cost: Figures
    kept: Marks
    kept_sure: Figures
    rival: Marks
    rival_sure: Figures

    def settled(self, select: float, margin: float) -> tuple[Marks, Figures, Figures]:
        """Right, confidence and cost of what is returned."""
        asks = self.compares & (self.sure < select)
        overrules = self.rival_sure > self.kept_sure + margin
        right = np.where(asks, np.where(overrules, self.rival, self.kept), self.first)
        sure = np.where(asks, np.where(overrules, self.rival_sure, self.kept_sure), self.sure)
        return right, sure, self.cost + asks * self.plain_cost


def _outcomes(seen: _Seen, setting: Setting, confidence: Confidence) -> _Outcomes:
    rows = []
    for (one, cost), plain in zip(seen.ways.says(setting), seen.direct, strict=True):
        found = compared([c.judged for c in one.candidates], plain.judged, confidence)
        kept = plain.right if found.kept is None else one.candidates[found.kept].right
        rival = found.rival is not None and one.candidates[found.rival].right
        surest = found.surest if found.rival is not None else -2.0
        # An empty answer is none: then the plain one is asked for whatever the threshold.
        sure = confidence.of(one.signs) if one.text else -1.0
        rows.append((one.right, sure, cost, bool(one.candidates), plain.cost, kept, found.plain, rival, surest))
    right, sure, cost, compares, paid, kept, kept_sure, rival, rival_sure = (
        np.array(c) for c in zip(*rows, strict=True)
    )
    return _Outcomes(right, sure, cost, compares, paid, kept, kept_sure, rival, rival_sure)
