"""Runs every strategy over the same questions and counts what is right, fixed and broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from correction.answers import Answer
from correction.corrector import Corrector
from correction.errors import HopfixError
from correction.strategies import STRATEGIES
from eval.calibration.sites import back_cells, identity_cells
from eval.questions import GoldQuestion
from eval.scoring import exact_match, f1
from eval.statistics import bootstrap_interval, mcnemar, paired_interval

IDENTITY_ORACLE, ORACLE = "identity_oracle", "oracle"


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
    oracles: bool = True,
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
    if oracles:
        runs |= await _oracles(corrector, questions, runs)
        on_done(ORACLE)
    return runs


async def _oracles(corrector: Corrector, questions: Sequence[GoldQuestion], runs: dict[str, Run]) -> dict[str, Run]:
    """Right if ANY of the choices is. They read the gold answer: never deployable.

    identity_oracle: the paper's protocol, any cell of the identity grid. oracle: any strategy of the table, any cell of
    the identity, norm-matched, vocabulary and back-patching grids.
    """
    count = len(questions)
    started = time.perf_counter()
    identity = await identity_cells(corrector, questions)
    seconds = time.perf_counter() - started
    right = [any(cell[index] for cell in identity.values()) for index in range(count)]
    oracle = [ok or any(run.right[index] for run in runs.values()) for index, ok in enumerate(right)]
    for cells in (
        await identity_cells(corrector, questions, "norm_matched"),
        await identity_cells(corrector, questions, "vocabulary"),
        await back_cells(corrector, questions),
    ):
        oracle = [ok or any(cell[index] for cell in cells.values()) for index, ok in enumerate(oracle)]
    total = time.perf_counter() - started + sum(run.seconds for run in runs.values())
    texts = {name: _gold_or_nothing(questions, marks) for name, marks in ((IDENTITY_ORACLE, right), (ORACLE, oracle))}
    return {
        IDENTITY_ORACLE: Run(IDENTITY_ORACLE, texts[IDENTITY_ORACLE], right, [None] * count, seconds),
        ORACLE: Run(ORACLE, texts[ORACLE], oracle, [None] * count, total),
    }


def _gold_or_nothing(questions: Sequence[GoldQuestion], right: Sequence[bool]) -> list[str]:
    return [question.answer if ok else "" for question, ok in zip(questions, right, strict=True)]


def summarise(runs: dict[str, Run], questions: Sequence[GoldQuestion], keep: Callable[[int], bool]) -> dict[str, Any]:
    """The table of the questions that `keep(index)` selects: strategy -> accuracy, n, ci95, fixed, broken, seconds."""
    chosen = [index for index in range(len(questions)) if keep(index)]
    direct = runs["direct"].right
    clusters = [cluster(questions[index]) for index in chosen]
    table: dict[str, Any] = {}
    for name, run in runs.items():
        right = [run.right[index] for index in chosen]
        table[name] = {
            "accuracy": sum(right) / max(1, len(right)),
            "n": len(right),
            "ci95": list(bootstrap_interval([float(r) for r in right], clusters)),
            "fixed": sum(run.right[index] and not direct[index] for index in chosen),
            "broken": sum(direct[index] and not run.right[index] for index in chosen),
            "seconds_per_question": run.seconds / max(1, len(questions)),
            "f1": sum(f1(run.texts[i], questions[i].accepted) for i in chosen) / max(1, len(chosen)),
        }
    return table


def cluster(question: GoldQuestion) -> str:
    """What the bootstrap resamples: the bridge, or the question itself where it has none."""
    return question.bridge or question.id


def paired_tests(
    runs: dict[str, Run], questions: Sequence[GoldQuestion], against: str = "deployed"
) -> dict[str, dict[str, Any]]:
    """`against` and every other strategy on the same questions: difference of accuracies with its interval, McNemar's
    exact p-value, and how many questions only one of the two gets right."""
    clusters = [cluster(question) for question in questions]
    ours = runs[against].right
    return {
        name: {
            "difference": (sum(ours) - sum(run.right)) / max(1, len(ours)),
            "ci95": list(paired_interval([float(r) for r in ours], [float(r) for r in run.right], clusters)),
            "p": mcnemar(ours, run.right),
            "only_deployed": sum(a and not b for a, b in zip(ours, run.right, strict=True)),
            "only_other": sum(b and not a for a, b in zip(ours, run.right, strict=True)),
        }
        for name, run in runs.items()
        if name != against
    }


def fallbacks(run: Run) -> dict[str, int]:
    """How often each strategy was fallen back to, and how many questions failed."""
    counts: dict[str, int] = {}
    for answer in run.answers:
        if isinstance(answer, HopfixError):
            counts["failed"] = counts.get("failed", 0) + 1
        elif answer is not None and answer.fallback is not None:
            counts[answer.fallback.strategy] = counts.get(answer.fallback.strategy, 0) + 1
    return counts
