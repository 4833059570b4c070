"""The deployed setting, chosen on paper: where to leave which hop, and when to turn to a costlier way.

Every setting is scored on what the ways said (`observations`); no pass is run here. Of the settings that get about as
many questions right as the best one, and tell right from wrong about as well, the cheapest is chosen: first how hop 1
is read, then where the last hop is left. Cost is that of the questions which the text pipeline answers right: on the
others an answer may well cost more.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from eval.calibration.confidence import fit_confidence
from eval.calibration.observations import Said
from eval.statistics import auroc

FOLDS = 5
FEWEST_FOR_EXITS = 300  # questions: among fewer, a loss of a point could go unseen (rule of three)
TOLERATED = 0.0025  # of the questions may be lost to the best setting's for the sake of cost
BLURRED = 0.015  # of the AUROC may be lost
WORTH = 0.01  # of a right answer: what may be spent at the cost of a two_step
MARGIN = 0.05  # added to the chosen thresholds of early exits, which fit what was seen a little too boldly
EXITS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SURES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

Way = tuple[int, str]  # layer that hop 1 is left at, mapping
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Setting:
    """Leave hop 1 at `layer` unless its bridge has less than `exit`, then run it in full; weigh `bridges` below `sure`.

    Leave the last hop at `answer_layer`, if any, unless its answer has less than `answer`.
    """

    layer: int
    mapping: str
    exit: float = 0.0
    sure: float = 0.0
    bridges: int = 1
    answer_layer: int | None = None
    answer: float = 0.0


@dataclass(frozen=True, eq=False)
class Ways:
    """What was observed, a list by question each. exits: by the layer that hop 1 is left at and the mapping. weighed:
    by how many bridges. answers: by the layer that the last hop is left at (hop 1 in full) and the mapping. reading:
    layer-tokens of hop 1 in full. two_step: the text pipeline's answers."""

    depth: int
    exits: Mapping[Way, Sequence[Said]]
    weighed: Mapping[int, Sequence[Said]]
    answers: Mapping[Way, Sequence[Said]]
    reading: Sequence[int]
    two_step: Sequence[Said]

    def __len__(self) -> int:
        return len(self.reading)

    def says(self, setting: Setting) -> list[tuple[Said, float]]:
        """What `deployed` would say with this setting, and what it would cost in layer-tokens."""
        return [self._says(setting, row) for row in range(len(self))]

    def cost(self, costs: Sequence[float], rows: Rows | Sequence[int]) -> float:
        """Over two_step's, on those of the rows that two_step answers right."""
        known = [
            (cost, self.two_step[row].cost) for cost, row in zip(costs, rows, strict=True) if self.two_step[row].right
        ]
        return sum(cost for cost, _ in known) / max(1.0, sum(theirs for _, theirs in known))

    def _says(self, setting: Setting, row: int) -> tuple[Said, float]:
        full = self.exits[self.depth, setting.mapping][row]
        early = self.exits[setting.layer, setting.mapping][row]
        lost = 0.0
        if setting.layer < self.depth:
            if early.signs.route == "exit" and (early.signs.bridge or 0.0) >= setting.exit:
                return self._answered(setting, row, early, float(early.cost))
            lost = self.reading[row] * setting.layer / self.depth
        if full.signs.route == "full" and (full.signs.bridge or 0.0) < setting.sure:
            weighed = self.weighed[setting.bridges][row]
            return weighed, weighed.cost + lost
        return self._answered(setting, row, full, full.cost + lost)

    def _answered(self, setting: Setting, row: int, given: Said, cost: float) -> tuple[Said, float]:
        """The same with the last hop left early; its answer was observed for the bridge that hop 1 gives in full."""
        if setting.answer_layer is None:
            return given, cost
        full, left = (
            self.exits[self.depth, setting.mapping][row],
            self.answers[setting.answer_layer, setting.mapping][row],
        )
        spent = full.cost - self.reading[row]  # on the last hop
        if given.text != full.text or left.signs.answer < setting.answer:
            return given, cost + spent * setting.answer_layer / self.depth
        said = replace(given, text=left.text, right=left.right, signs=replace(given.signs, answer=left.signs.answer))
        return said, cost - spent * (1 - setting.answer_layer / self.depth)


def choose(ways: Ways, rows: Rows | None = None) -> Setting:
    """The cheapest setting that is about as good as the best, on the questions of these rows."""
    chosen = np.arange(len(ways)) if rows is None else rows
    scored = _Scores(ways, chosen)
    early = len(chosen) >= FEWEST_FOR_EXITS
    first = _cheapest(ways, [scored.best(way) for way in ways.exits if early or way[0] == ways.depth], chosen)
    if first.layer < ways.depth:
        careful = replace(first, exit=min(1.0, first.exit + MARGIN))
        first = _cheaper(ways, careful, scored.best((ways.depth, first.mapping)), chosen)
    later = [
        replace(first, answer_layer=layer, answer=threshold)
        for (layer, mapping), threshold in product(ways.answers, EXITS)
        if early and mapping == first.mapping
    ]
    second = _cheapest(ways, [first, *later], chosen)
    if second.answer_layer is None:
        return second
    return _cheaper(ways, replace(second, answer=min(1.0, second.answer + MARGIN)), first, chosen)


def _cheaper(ways: Ways, one: Setting, other: Setting, rows: Rows) -> Setting:
    """A margin can eat up what an early exit saves: then it is not worth having."""
    costs = [_cost(ways, setting, rows) for setting in (one, other)]
    return one if costs[0] < costs[1] else other


def _cost(ways: Ways, setting: Setting, rows: Rows) -> float:
    said = ways.says(setting)
    return ways.cost([said[row][1] for row in rows], rows)


def _cheapest(ways: Ways, settings: Sequence[Setting], rows: Rows) -> Setting:
    """Of those that lose few answers, and little of the ability to tell right from wrong, to the best one of them."""
    figures = []
    for number, setting in enumerate(settings):
        every = ways.says(setting)
        said = [every[row] for row in rows]
        right = [one.right for one, _ in said]
        confidence = fit_confidence([(one.signs, one.right) for one, _ in said])
        area = auroc([confidence.of(one.signs) for one, _ in said], right)
        figures.append((ways.cost([cost for _, cost in said], rows), number, sum(right), 1.0 if area is None else area))
    enough = max(right for _, _, right, _ in figures) - TOLERATED * len(rows)
    # Of the best of these, not of all: a setting with more routes has more weights, and tells apart what it has seen.
    sharp = max(figures, key=lambda figure: (figure[2] >= enough, figure[0]))[3] - BLURRED
    return settings[min(figure for figure in figures if figure[2] >= enough and figure[3] >= sharp)[1]]


def folds(bridges: Sequence[str]) -> list[tuple[Rows, Rows]]:
    """(inside, outside) rows of each fold; questions about one bridge are in one fold."""
    names = sorted(set(bridges))
    random.Random("folds").shuffle(names)
    place = {name: number % FOLDS for number, name in enumerate(names)}
    fold = np.array([place[bridge] for bridge in bridges])
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(FOLDS)]


def share(right: Sequence[bool]) -> float:
    """Of the questions that are right."""
    return sum(right) / max(1, len(right))


class _Scores:
    """Right answers less what they cost, of many thresholds at once."""

    def __init__(self, ways: Ways, rows: Rows) -> None:
        self.ways, self.rows = ways, rows
        self.reading = np.array(ways.reading, dtype=float)[rows]
        self.unit = max(1.0, float(np.mean([one.cost for one in ways.two_step])))
        self.exits = {way: _arrays(given, rows) for way, given in ways.exits.items()}
        self.weighed = {count: _arrays(given, rows) for count, given in ways.weighed.items()}

    def best(self, way: Way) -> Setting:
        """The thresholds that suit this way best."""
        layer, mapping = way
        settings = [
            Setting(layer, mapping, exit, sure, count)
            for count, sure in product(self.weighed, SURES)
            for exit in (EXITS if layer < self.ways.depth else (0.0,))
        ]
        return max(settings, key=self.worth)

    def worth(self, setting: Setting) -> float:
        """Right answers, less `WORTH` of one for every two_step's cost."""
        depth = self.ways.depth
        left, full = self.exits[setting.layer, setting.mapping], self.exits[depth, setting.mapping]
        weighed = self.weighed[setting.bridges]
        turns = full["full"] & (full["bridge"] < setting.sure)
        right, cost = (np.where(turns, weighed[name], full[name]) for name in ("right", "cost"))
        if setting.layer < depth:
            leaves = left["exit"] & (left["bridge"] >= setting.exit)
            right = np.where(leaves, left["right"], right)
            cost = np.where(leaves, left["cost"], cost + self.reading * setting.layer / depth)
        return float(right.sum() - WORTH * cost.sum() / self.unit)


def _arrays(given: Sequence[Said], rows: Rows) -> dict[str, npt.NDArray[np.generic]]:
    chosen = [given[row] for row in rows]
    return {
        "right": np.array([one.right for one in chosen], dtype=float),
        "cost": np.array([one.cost for one in chosen], dtype=float),
        "bridge": np.array([one.signs.bridge or 0.0 for one in chosen]),
        "exit": np.array([one.signs.route == "exit" for one in chosen]),
        "full": np.array([one.signs.route == "full" for one in chosen]),
    }
