"""How far the confidence of an answer can be believed, over kinds of questions that count alike."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from correction.errors import InvalidInput
from eval.statistics import auroc, coverage_at_precision, expected_calibration_error, reliability, unseen_share
from eval.tables import markdown_table

LEVEL = 0.95
DRAWS = 1000


@dataclass(frozen=True)
class _Items:
    """The drawn questions, shape [n] each: confidence in 0..1, whether right, whether there was a right answer, and the
    number of the cluster that the bootstrap draws it with."""

    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    answerable: npt.NDArray[np.bool_]
    cluster: npt.NDArray[np.intp]

    def take(self, rows: npt.NDArray[np.intp]) -> _Items:
        return _Items(self.confidence[rows], self.right[rows], self.answerable[rows], self.cluster[rows])

    def measures(self, precision: float) -> dict[str, float | None]:
        _, coverage = coverage_at_precision(self.confidence, self.right, precision, self.answerable)
        return {
            "ece": expected_calibration_error(self.confidence, self.right),
            "auroc": auroc(self.confidence, self.right),
            "coverage": coverage,
        }


def confidence_summary(
    groups: Mapping[str, Sequence[tuple[float, bool]]],
    answerable: Collection[str],
    precision: float = 0.99,
    seed: int = 0,
    *,
    clusters: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """ECE, AUROC and coverage at a precision, over an equal number of questions from each group; JSON-able.

    `groups` holds (confidence, right) of each question; as many are drawn (by `seed`) from each as the smallest has,
    so that no kind of question outweighs another. `answerable` names the groups whose questions have a right answer:
    coverage is the share of those. `threshold` is None where no threshold reaches the precision. Intervals are 95 %
    bootstrap, within each group, of whole `clusters` (a name a question: its bridge) where those are given.
    """
    _check(groups, answerable)
    size = min(len(items) for items in groups.values())
    drawn: dict[str, list[tuple[float, bool]]] = {}
    units: list[list[npt.NDArray[np.intp]]] = []  # group -> its clusters -> their rows
    for number, (name, items) in enumerate(groups.items()):
        # By the group's name: another group, or another order, does not change which questions these are.
        picked = sorted(random.Random(f"{seed} {name}").sample(range(len(items)), size))
        drawn[name] = [items[index] for index in picked]
        named = clusters[name] if clusters is not None else range(len(items))
        rows: dict[object, list[int]] = {}
        for row, index in enumerate(picked, start=number * size):
            rows.setdefault(named[index], []).append(row)
        units.append([np.array(of_one, dtype=np.intp) for of_one in rows.values()])
    everything = _Items(
        np.array([confidence for items in drawn.values() for confidence, _ in items], dtype=float),
        np.array([right for items in drawn.values() for _, right in items], dtype=bool),
        np.repeat([name in answerable for name in drawn], size),
        np.empty(size * len(drawn), dtype=np.intp),
    )
    for unit, rows_of_it in enumerate(rows_of_it for group in units for rows_of_it in group):
        everything.cluster[rows_of_it] = unit
    threshold, _ = coverage_at_precision(everything.confidence, everything.right, precision, everything.answerable)
    measures = everything.measures(precision)
    resampled = [everything.take(rows).measures(precision) for rows in _resamples(units, draws, seed)]
    return {
        "n": len(everything.right),
        "groups": {
            name: {
                "n": size,
                "of": len(groups[name]),
                "answerable": name in answerable,
                "accuracy": sum(right for _, right in items) / size,
                "mean_confidence": sum(confidence for confidence, _ in items) / size,
            }
            for name, items in drawn.items()
        },
        **measures,
        **{
            f"{name}_ci95": _interval(name, value, [draw[name] for draw in resampled], everything)
            for name, value in measures.items()
        },
        "threshold": None if math.isinf(threshold) else threshold,
        "precision": precision,
        "reliability": [list(point) for point in reliability(everything.confidence, everything.right)],
    }


def confidence_markdown(summary: Mapping[str, Any]) -> str:
    """The summary for people: the measures, each group, and the reliability table."""
    threshold = summary["threshold"]
    at = f"coverage at {100 * summary['precision']:.4g}% precision"
    area = "none" if summary["auroc"] is None else f"{summary['auroc']:.3f}"
    area_bounds = "none" if summary["auroc_ci95"] is None else "{:.3f} to {:.3f}".format(*summary["auroc_ci95"])
    rows = [
        ["expected calibration error", f"{summary['ece']:.1%}", _span(summary["ece_ci95"])],
        ["AUROC", area, area_bounds],
        [at, f"{summary['coverage']:.1%}", _span(summary["coverage_ci95"])],
    ]
    reached = (
        f"Answered where the confidence is at least {threshold:.6g}."
        if threshold is not None
        else "No threshold reaches that precision."
    )
    groups = []
    for name, group in summary["groups"].items():
        answerable = "yes" if group["answerable"] else "no"
        shares = [f"{group[key]:.1%}" for key in ("accuracy", "mean_confidence")]
        groups.append([name, f"{group['n']} of {group['of']}", answerable, *shares])
    points = [[f"{sure:.1%}", f"{accuracy:.1%}", str(count)] for sure, accuracy, count in summary["reliability"]]
    parts = [
        f"{summary['n']} questions, as many of each group. {reached} Coverage is of the answerable groups.",
        markdown_table(["measure", "value", "95 % interval"], rows),
        markdown_table(["group", "questions", "answerable", "accuracy", "mean confidence"], groups),
        markdown_table(["mean confidence of a bin", "accuracy", "questions"], points),
    ]
    return "\n\n".join(parts) + "\n"


def _check(groups: Mapping[str, Sequence[tuple[float, bool]]], answerable: Collection[str]) -> None:
    empty = [name for name, items in groups.items() if not items]
    if empty or not groups:
        which = f"group {empty[0]!r}" if empty else "the summary"
        raise InvalidInput(f"{which} has no question", hint="give each group at least one", param="groups")
    unknown = sorted(set(answerable) - set(groups))
    if unknown:
        raise InvalidInput(f"no group {unknown[0]!r}", hint=f"there are {', '.join(groups)}", param="answerable")


def _resamples(
    units: Sequence[Sequence[npt.NDArray[np.intp]]], draws: int, seed: int
) -> Iterator[npt.NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([group[pick] for group in units for pick in rng.integers(len(group), size=len(group))])


def _interval(name: str, value: float | None, resampled: Sequence[float | None], items: _Items) -> list[float] | None:
    """[low, high], fractions, holding the value; None where there is no value.

    Resampling adds noise, and noise only ever adds to a calibration error: a perfectly calibrated model's resampled
    errors all lie above its own. Its interval therefore reaches as far below the value as they lie above it (the basic
    bootstrap). Where every resample gives the same it knows no error; then as much as may have gone unseen is allowed.
    """
    found = [draw for draw in resampled if draw is not None]
    if value is None or not found:
        return None
    if max(found) - min(found) < 1e-12:
        right, wrong, asked = (
            len(np.unique(items.cluster[marks])) for marks in (items.right, ~items.right, items.answerable)
        )
        counts = {"ece": len(np.unique(items.cluster)), "auroc": min(right, wrong), "coverage": asked}
        unseen = unseen_share(counts[name], LEVEL)
        return [max(0.0, value - unseen), min(1.0, value + unseen)]
    low, high = (float(bound) for bound in np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if name == "ece":
        low = min(low, 2 * value - high)
    return [max(0.0, min(low, value)), min(1.0, max(high, value))]


def _span(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"
