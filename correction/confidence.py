"""Calibrated confidence: the probability that an answer is right, from what the passes said of themselves.

Logistic regression on log-odds (Platt 1999), one set of weights for each *route* that an answer can come by: a
probability of 0.9 read at layer 2 says something else than one read at the last layer, and a plain answer to a
two-hop question something else than one to a one-hop question. `eval` fits the weights, here they are applied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

# exit: hop 1 was left early. full: it ran to its end. marginal: several bridges were weighed. compared: one of these,
# with the plain answer beside it. two_step: text. direct: no hops are known. kept: direct, though hops are known.
Route = Literal["exit", "full", "marginal", "compared", "two_step", "direct", "kept"]
ROUTES: tuple[Route, ...] = get_args(Route)
MOST = 12.0  # log-odds beyond which float32 log-probabilities say nothing


@dataclass(frozen=True)
class Signs:
    """What a route said of itself, as probabilities; None where a route has no such thing.

    answer: of the answer. bridge: of the bridges behind it; of a plain answer what other answers leave. first: of the
    bridge's first token. early: that an early layer's state already gives that token, by the logit lens: what a model
    knows it tends to know early. plain: above a half, and the more so the surer the plain answer is, if that says the
    same; below it if it says something else.
    """

    route: Route
    answer: float
    bridge: float | None = None
    first: float | None = None
    early: float | None = None
    plain: float | None = None

    @property
    def log_odds(self) -> tuple[float, ...]:
        """In the order of `FIELDS`; 0 where there is nothing."""
        return tuple(0.0 if (p := getattr(self, name)) is None else _log_odds(p) for name in FIELDS)

    @property
    def product(self) -> float:
        """Bridge and answer together: the confidence before calibration."""
        return self.answer if self.bridge is None else self.bridge * self.answer


FIELDS = ("answer", "bridge", "first", "early", "plain")


@dataclass(frozen=True)
class Weights:
    """Of one route: what the log-odds of each sign count. rows: how many calibration answers came by it."""

    bias: float
    answer: float
    bridge: float
    first: float
    early: float
    rows: int
    plain: float = 0.0


@dataclass(frozen=True)
class Confidence:
    """`routes` holds the weights of those routes that calibration has seen."""

    routes: dict[str, Weights]

    def of(self, signs: Signs) -> float:
        """The probability that the answer is right; the product of the probabilities on a route never calibrated."""
        weights = self.routes.get(signs.route)
        if weights is None:
            return signs.product
        score = weights.bias + sum(getattr(weights, name) * x for name, x in zip(FIELDS, signs.log_odds, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def _log_odds(probability: float) -> float:
    if probability >= 1:
        return MOST
    if probability <= 0:
        return -MOST
    return max(-MOST, min(MOST, math.log(probability) - math.log1p(-probability)))
