"""What an answer takes, counted, and what that allows: the counted limit.

A step is one token of one pass. Its cost has a fixed part (scheduling, sampling, sending) and a part for each layer
that runs, both fitted to passes that leave the model at each layer. A strategy's predicted time is what its steps and
their layers cost; patches, lenses and captures are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import linear_regression
from typing import Any

from correction.answers import Usage
from correction.engines import Engine
from correction.passes import Heard, Pass, PassResult


@dataclass(frozen=True)
class Counted:
    """Means of an answer. layer_steps: layers run, over all steps. layer_tokens: tokens times blocks, as usage has."""

    passes: float
    prompt_tokens: float
    completion_tokens: float
    steps: float
    layer_steps: float
    layer_tokens: float


class Counting:
    """An engine that counts what it runs, in all else the one it is given."""

    def __init__(self, engine: Engine, depth: int) -> None:
        self.engine = engine
        self.depth = depth
        self.usage = Usage()
        self.steps = 0
        self.layer_steps = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.engine, name)
        return self._relay if name == "relay" else found

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        result = await self.engine.run(request, heard)
        self._add(request, result)
        return result

    async def _relay(self, request: Pass, then: Any) -> Any:
        """Two passes at one go, of an engine that can."""
        first, second = await self.engine.relay(request, then)  # type: ignore[attr-defined]
        self._add(request, first)
        if second is not None:
            self._add(then.second(first), second)
        return first, second

    def _add(self, request: Pass, result: PassResult) -> None:
        layers = request.exit or self.depth
        self.usage.add(result, layers)
        self.steps += steps_of(result)
        self.layer_steps += layers * steps_of(result)

    def mean(self, answers: int) -> Counted:
        """Over so many answers."""
        usage = self.usage
        numbers = (usage.passes, usage.prompt_tokens, usage.completion_tokens, self.steps, self.layer_steps)
        return Counted(*(number / answers for number in (*numbers, usage.layer_tokens)))


def steps_of(result: PassResult) -> int:
    """The stop is a step, too."""
    return len(result.tokens) + (result.finish_reason == "stop")


@dataclass(frozen=True)
class Cost:
    """Seconds of a step: `fixed`, and `layer` for each layer that runs."""

    fixed: float
    layer: float

    def of(self, counted: Counted) -> float:
        """The predicted seconds of an answer."""
        return self.fixed * counted.steps + self.layer * counted.layer_steps


def fit(plain: float, early: Mapping[int, float], depth: int) -> Cost:
    """From seconds a step, of plain passes and of passes that leave at layers.

    A layer costs what the line through the latter rises by. The fixed part is what that leaves of a plain step, so that
    what leaving itself costs is not in the limit.
    """
    layer = linear_regression([*early], [*early.values()]).slope
    return Cost(plain - depth * layer, layer)


def limit(cost: Cost, deployed: Counted, two_step: Counted) -> float:
    """Predicted time of `deployed` over that of `two_step`."""
    return cost.of(deployed) / cost.of(two_step)
