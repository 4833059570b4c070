"""Runs every strategy over the same questions and counts what is right, fixed and broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from correction.answers import Answer
from correction.corrector import STRATEGIES, Corrector
from correction.errors import HopfixError
from eval.questions import GoldQuestion
from eval.scoring import exact_match, f1
from eval.statistics import bootstrap_interval, mcnemar
from eval.sweep import identity_grid, sweep

IDENTITY_ORACLE = "identity_oracle"


@dataclass(frozen=True)
class Run:
    """One strategy's outcome on each question, in order, and the seconds it took altogether."""

    strategy: str
    texts: list[str]
    right: list[bool]
    answers: list[Answer | HopfixError | None]
    seconds: float


async def run_strategies(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    *,
    strategies: Sequence[str] = STRATEGIES,
    withhold_hops: bool = False,
    oracle: bool = True,
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Run]:
    """Runs the strategies one after the other, each over all questions at once, batched by the engine."""
    runs: dict[str, Run] = {}
    await corrector.answer_all(
        [q.ask(withhold_hops) for q in questions[:8]], "two_step"
    )  # so that no time is a warm-up's
    for strategy in strategies:
        started = time.perf_counter()
        answers = await corrector.answer_all([q.ask(withhold_hops) for q in questions], strategy)
        seconds = time.perf_counter() - started
        texts = ["" if isinstance(answer, HopfixError) else answer.answer for answer in answers]
        right = [exact_match(text, q.accepted) for text, q in zip(texts, questions, strict=True)]
        runs[strategy] = Run(strategy, texts, right, list(answers), seconds)
        on_done(strategy)
    if oracle:
        runs[IDENTITY_ORACLE] = await _identity_oracle(corrector, questions)
        on_done(IDENTITY_ORACLE)
    return runs


async def _identity_oracle(corrector: Corrector, questions: Sequence[GoldQuestion]) -> Run:
    """The paper's protocol: right if ANY cell of the grid is. It reads the gold answer: never deployable."""
    started = time.perf_counter()
    grid = await sweep(corrector, questions, identity_grid(corrector.loaded.parts.depth))
    texts, right = [""] * len(questions), [False] * len(questions)
    for cell in grid.values():
        for index, (text, question) in enumerate(zip(cell, questions, strict=True)):
            if not right[index] and exact_match(text, question.accepted):
                texts[index], right[index] = text, True
    return Run(IDENTITY_ORACLE, texts, right, [None] * len(questions), time.perf_counter() - started)


def summarise(runs: dict[str, Run], questions: Sequence[GoldQuestion], keep: Callable[[int], bool]) -> dict[str, Any]:
    """The table of the questions that `keep(index)` selects: strategy -> accuracy, n, ci95, fixed, broken, seconds."""
    chosen = [index for index in range(len(questions)) if keep(index)]
    direct = runs["direct"].right
    bridges = [questions[index].bridge for index in chosen]
    table: dict[str, Any] = {}
    for name, run in runs.items():
        right = [run.right[index] for index in chosen]
        table[name] = {
            "accuracy": sum(right) / max(1, len(right)),
            "n": len(right),
            "ci95": list(bootstrap_interval([float(r) for r in right], bridges)),
            "fixed": sum(run.right[index] and not direct[index] for index in chosen),
            "broken": sum(direct[index] and not run.right[index] for index in chosen),
            "seconds_per_question": run.seconds / max(1, len(questions)),
            "f1": sum(f1(run.texts[i], questions[i].accepted) for i in chosen) / max(1, len(chosen)),
        }
    return table


def paired_tests(runs: dict[str, Run], against: str = "deployed") -> dict[str, float]:
    """McNemar's exact p-value of `against` with every other strategy, on all questions."""
    return {name: mcnemar(runs[against].right, run.right) for name, run in runs.items() if name != against}


def fallbacks(run: Run) -> dict[str, int]:
    """How often each strategy was fallen back to, and how many questions failed."""
    counts: dict[str, int] = {}
    for answer in run.answers:
        if isinstance(answer, HopfixError):
            counts["failed"] = counts.get("failed", 0) + 1
        elif answer is not None and answer.fallback is not None:
            counts[answer.fallback.strategy] = counts.get(answer.fallback.strategy, 0) + 1
    return counts
