"""Fits the weights of `correction.confidence`: logistic regression of being right on log-odds, a route at a time.

Few calibration answers are wrong, on some routes none. Two things keep the fit sober: Platt's smoothed targets (Platt
1999, section 2.2), and a weak pull towards the product of the probabilities, which is what is used without calibration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import minimize

from correction.confidence import FIELDS, ROUTES, Confidence, Signs, Weights

PULL = 0.5  # in answers: how many of them the pull of each weight is worth
FEWEST = 5
_PRIOR = np.array([0.0, 0.5, 0.5, 0.0, 0.0, 0.0])  # bias, then as FIELDS: answer and bridge, as the product has them


def fit_confidence(rows: Iterable[tuple[Signs, bool]]) -> Confidence:
    """Weights for every route with at least 5 answers, from what each answer showed and whether it was right."""
    by_route: dict[str, list[tuple[Signs, bool]]] = {route: [] for route in ROUTES}
    for signs, right in rows:
        by_route[signs.route].append((signs, right))
    return Confidence({route: _fit(seen) for route, seen in by_route.items() if len(seen) >= FEWEST})


def _fit(seen: Sequence[tuple[Signs, bool]]) -> Weights:
    signs = np.array([(1.0, *one.log_odds) for one, _ in seen])
    right = np.array([ok for _, ok in seen], dtype=bool)
    ups, downs = int(right.sum()), int((~right).sum())
    targets = np.where(right, (ups + 1) / (ups + 2), 1 / (downs + 2))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = signs @ weights
        away = weights - _PRIOR
        value = np.logaddexp(0, scores) - targets * scores
        slope = 1 / (1 + np.exp(-scores)) - targets
        return float(value.sum() + PULL * away @ away), signs.T @ slope + 2 * PULL * away

    # A more probable bridge or answer never makes an answer less likely to be right.
    found = minimize(loss, _PRIOR, jac=True, method="L-BFGS-B", bounds=[(None, None), *([(0, None)] * len(FIELDS))])
    bias, *weights = (float(weight) for weight in found.x)
    return Weights(bias, **dict(zip(FIELDS, weights, strict=True)), rows=len(seen))
