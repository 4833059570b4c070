"""Intervals and paired tests: the bootstrap resamples bridges, since questions about one bridge fail together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest


def bootstrap_interval(
    scores: Sequence[float], clusters: Sequence[str], *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean score, resampling whole clusters (bridges); both bounds are fractions.

    Where all scores are 0, or all 1, resampling knows no error: then it is the interval of Clopper and Pearson on the
    number of clusters.
    """
    if not scores:
        return (0.0, 0.0)
    if set(scores) in ({0.0}, {1.0}):
        clusters_right = len(set(clusters)) if scores[0] else 0
        exact = binomtest(clusters_right, len(set(clusters))).proportion_ci(level, "exact")
        return (float(exact.low), float(exact.high))
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(scores, dtype=float), minlength=len(names))
    sizes = np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided exact p-value that two strategies are equally often right on the same questions."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
