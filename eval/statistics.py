"""Intervals, paired tests, and how far a confidence can be believed.

The bootstrap resamples bridges, since questions about one bridge fail together. A confidence is a number a question, in
0..1 where it is read as a probability; `right` says, in the same order, whether the answer was right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Confidences = Sequence[float] | Floats
Marks = Sequence[bool] | npt.NDArray[np.bool_]
Clusters = Sequence[str] | npt.NDArray[np.int64]
DRAWN_AT_ONCE = 1 << 20  # numbers: a bootstrap of 100,000 clusters needs no gigabytes


def bootstrap_interval(
    scores: Sequence[float] | Floats, clusters: Clusters, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean score, resampling whole clusters (bridges); both bounds are fractions.

    Where all scores are 0, or all 1, resampling knows no error: then it is the interval of Clopper and Pearson on the
    number of clusters.
    """
    if not len(scores):
        return (0.0, 0.0)
    if (np.asarray(scores) == scores[0]).all() and scores[0] in (0.0, 1.0):
        count = len(np.unique(np.asarray(clusters)))
        exact = binomtest(count if scores[0] else 0, count).proportion_ci(level, "exact")
        return (float(exact.low), float(exact.high))
    return _resampled(*_by_cluster(scores, clusters), level, draws, seed)


def paired_interval(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    clusters: Clusters,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of mean(first) - mean(second), scores in 0..1 on the same questions, by whole clusters.

    Where all m clusters differ by the same d (by 0, say) resampling knows no error. Then clusters of another kind,
    none of which was seen, may still be a share of `unseen_share(m)` = u of all, and differ by anything in -1..1:
    d - u (1 + d) to d + u (1 - d), which is -u to u for d = 0 (the rule of three, exact). No question: -1 to 1.
    """
    if not len(first) == len(second) == len(clusters):
        raise ValueError(f"{len(first)} and {len(second)} scores of {len(clusters)} questions")
    if not len(clusters):
        return (-1.0, 1.0)
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    sums, sizes = _by_cluster(differences, clusters)
    if np.ptp(sums / sizes) < 1e-12:
        same, unseen = float(sums[0] / sizes[0]), unseen_share(len(sums), level)
        return (same - unseen * (1 + same), same + unseen * (1 - same))
    return _resampled(sums, sizes, level, draws, seed)


def unseen_share(count: int, level: float = 0.95) -> float:
    """The largest share that cases of a kind may have when none was among `count`: Clopper and Pearson's upper bound,
    1 - (alpha/2)^(1/count), as a fraction; 1 for no case at all."""
    return float(1 - ((1 - level) / 2) ** (1 / count)) if count else 1.0


def _by_cluster(values: Sequence[float] | Floats, clusters: Clusters) -> tuple[Floats, Ints]:
    """Each cluster's sum of values and its number of questions, shapes [clusters]."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(values, dtype=float), minlength=len(names))
    return sums.astype(np.float64), np.bincount(index, minlength=len(names))


def _resampled(sums: Floats, sizes: Ints, level: float, draws: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    block = max(1, DRAWN_AT_ONCE // len(sums))
    means = np.empty(draws)
    for start in range(0, draws, block):
        drawn = rng.integers(len(sums), size=(min(block, draws - start), len(sums)))
        means[start : start + block] = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def mcnemar(first: Marks, second: Marks) -> float:
    """Two-sided exact p-value that two strategies are equally often right on the same questions."""
    ours, theirs = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979): each test's, if all are made at once. In their order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def reliability(
    confidence: Confidences,
    right: Marks,
    bins: int = 10,
    *,
    equal_width: bool = False,
) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, questions) of each bin that holds any, from the least confident to the most.

    Bins are of equal mass: a model is mostly sure of itself, and of ten equally wide bins the last then holds nearly
    everything while the others hold a handful of questions each, too few to say anything. Equal confidences share a
    bin, so that the order of the questions changes nothing; hence there may be fewer bins, and larger ones.
    """
    scores, truth = _checked(confidence, right)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("a confidence is between 0 and 1")
    bin_of = np.minimum((scores * bins).astype(np.intp), bins - 1) if equal_width else _equal_mass(scores, bins)
    counts = np.bincount(bin_of, minlength=bins)
    filled = counts > 0
    means = [np.bincount(bin_of, weights=values, minlength=bins)[filled] / counts[filled] for values in (scores, truth)]
    return [(float(c), float(a), int(n)) for c, a, n in zip(*means, counts[filled], strict=True)]


def expected_calibration_error(
    confidence: Confidences,
    right: Marks,
    bins: int = 10,
    *,
    equal_width: bool = False,
) -> float:
    """How far confidence and accuracy are apart (a fraction): mean over questions of |accuracy - confidence| of their
    bin (Naeini et al. 2015), in the bins of `reliability`. Never below 0, hence above it by chance alone."""
    points = reliability(confidence, right, bins, equal_width=equal_width)
    if not points:
        raise ValueError("no question, hence no calibration error")
    return sum(n * abs(accuracy - sure) for sure, accuracy, n in points) / sum(n for _, _, n in points)


def _equal_mass(scores: Floats, bins: int) -> Ints:
    """The bin of each score: the one that the middle of its rank, and of its equals' ranks, falls into."""
    _, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    bin_of = (bins * (2 * counts.cumsum() - counts) // (2 * max(1, len(scores))))[index]
    # Beside many equals only a few may be left for a bin: less than half its share goes to the next lower bin.
    held = np.bincount(bin_of, minlength=bins)
    filled = np.flatnonzero(held)
    for here, lower in zip(filled[:0:-1], filled[-2::-1], strict=True):
        if 2 * bins * held[here] < len(scores):
            bin_of[bin_of == here] = lower
            held[lower] += held[here]
    if len(filled) and 2 * bins * held[filled[0]] < len(scores) and bin_of.max() > filled[0]:
        bin_of[bin_of == filled[0]] = bin_of[bin_of > filled[0]].min()  # there is none lower
    return bin_of


def auroc(confidence: Confidences, right: Marks) -> float | None:
    """The chance that a right answer has a higher confidence than a wrong one, ties counting half (the area under the
    ROC curve, from Mann and Whitney's U). None if all are right or none is."""
    scores, truth = _checked(confidence, right)
    positives = int(truth.sum())
    pairs = positives * (len(truth) - positives)
    if not pairs:
        return None
    above = rankdata(scores)[truth > 0].sum() - positives * (positives + 1) / 2
    return float(above / pairs)


def coverage_at_precision(
    confidence: Confidences,
    right: Marks,
    precision: float,
    answerable: Marks | None = None,
) -> tuple[float, float]:
    """(threshold, coverage): the lowest threshold at which, of the questions whose confidence reaches it, at least
    `precision` are right; and the share of the answerable ones (default: of all) that reach it.

    Equal confidences are answered together or not at all. (inf, 0) if no threshold will do. Chosen and measured on the
    same questions, hence a little too good: read the precision that a threshold gives off other questions.
    """
    scores, truth = _checked(confidence, right)
    values, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    at_least = counts[::-1].cumsum()[::-1]
    right_at_least = np.bincount(index, weights=truth, minlength=len(values))[::-1].cumsum()[::-1]
    good = np.flatnonzero(right_at_least / at_least >= precision)
    if not len(good):
        return (math.inf, 0.0)
    threshold = float(values[good[0]])
    asked = np.ones(len(scores), bool) if answerable is None else np.asarray(answerable, bool)
    if len(asked) != len(scores):
        raise ValueError(f"{len(asked)} marks of {len(scores)} questions")
    return (threshold, float((scores >= threshold)[asked].mean()) if asked.any() else 0.0)


def _checked(confidence: Confidences, right: Marks) -> tuple[Floats, Floats]:
    scores, truth = np.asarray(confidence, float), np.asarray(right, float)
    if scores.shape != truth.shape or scores.ndim != 1:
        raise ValueError(f"{len(scores)} confidences of {len(truth)} answers")
    if np.isnan(scores).any():
        raise ValueError("a confidence is not a number")  # it would compare as neither above nor below a threshold
    return scores, truth
