"""`hopfix bench strategies`: what a corrected answer costs beside the text pipeline, on one engine and one batch rule.

Both run on the same questions back to back, in turn first and second, and the ratio is taken within a pair: a shared
machine drifts. The counted limit is the ratio of layer-tokens (blocks run times tokens), all that a model must compute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from correction.answers import Answer
from correction.corrector import Corrector
from correction.engines import HFEngine
from eval.questions import GoldQuestion
from eval.tables import markdown_table

STRATEGIES = ("two_step", "deployed")


async def compare_strategies(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    *,
    rounds: int = 9,
    on_done: Callable[[int], object] = lambda rounds: None,
) -> dict[str, Any]:
    """Model time and wall time of `deployed` over `two_step`, by the length of the bridge."""
    tokens = [len(corrector.loaded.tokenizer.tokenize(f" {q.bridge}")) for q in questions]
    groups = {
        "one-token bridges": [q for q, n in zip(questions, tokens, strict=True) if n == 1],
        "several-token bridges": [q for q, n in zip(questions, tokens, strict=True) if n > 1],
    }
    return {name: await _compare(corrector, group, rounds, on_done) for name, group in groups.items() if group}


async def _compare(
    corrector: Corrector, questions: Sequence[GoldQuestion], rounds: int, on_done: Callable[[int], object]
) -> dict[str, Any]:
    engine = corrector.engine
    assert isinstance(engine, HFEngine)
    counted: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in STRATEGIES}
    for number in range(rounds + 1):
        for strategy in STRATEGIES if number % 2 else STRATEGIES[::-1]:
            model, wall = engine.model_seconds, time.perf_counter()
            answers = await corrector.answer_all([q.ask() for q in questions], strategy)
            spent = (engine.model_seconds - model, time.perf_counter() - wall)
            if number:  # the first round warms up, and counts
                seconds[strategy].append(spent)
            else:
                counted[strategy] = _counted(answers)
        on_done(1)
    pairs = list(zip(seconds["deployed"], seconds["two_step"], strict=True))
    limit = counted["deployed"]["layer_tokens"] / counted["two_step"]["layer_tokens"]
    model_time = median(ours[0] / theirs[0] for ours, theirs in pairs)
    return {
        "questions": len(questions),
        "rounds": rounds,
        "counted": counted,
        "limit": limit,
        "model_time": model_time,
        "over_limit": model_time / limit,
        "wall_time": median(ours[1] / theirs[1] for ours, theirs in pairs),
        "milliseconds_per_question": {
            name: 1000 * median(model for model, _ in spent) / len(questions) for name, spent in seconds.items()
        },
    }


def _counted(answers: Sequence[object]) -> dict[str, float]:
    usages = [answer.usage for answer in answers if isinstance(answer, Answer)]
    return {
        name: sum(getattr(usage, name) for usage in usages) / max(1, len(usages))
        for name in ("passes", "prompt_tokens", "completion_tokens", "layer_tokens")
    }


def strategies_markdown(results: dict[str, Any]) -> str:
    """The results for people."""
    columns = ["", "n", "two_step, ms", "deployed, ms", "model time", "counted limit", "over the limit", "wall time"]
    rows = [
        [
            name,
            str(group["questions"]),
            *(f"{group['milliseconds_per_question'][strategy]:.2f}" for strategy in STRATEGIES),
            *(f"{group[figure]:.2f}" for figure in ("model_time", "limit", "over_limit", "wall_time")),
        ]
        for name, group in results["groups"].items()
    ]
    counted = [
        [
            f"{name}, {strategy}",
            *(f"{given[what]:.2f}" for what in ("passes", "prompt_tokens", "completion_tokens", "layer_tokens")),
        ]
        for name, group in results["groups"].items()
        for strategy, given in group["counted"].items()
    ]
    rounds = next(iter(results["groups"].values()))["rounds"]
    parts = [
        f"Model `{results['model']}`, medians of {rounds} pairs; model time, counted limit and wall time are of "
        "deployed over two_step. A question:",
        markdown_table(columns, rows),
        markdown_table(["", "passes", "prompt tokens", "generated tokens", "layer-tokens"], counted),
    ]
    return "\n\n".join(parts) + "\n"
