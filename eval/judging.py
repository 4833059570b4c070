"""One model and profile, judged on a suite: tables, paired tests, what was broken, whether confidence is earned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from correction.answers import Answer
from correction.corrector import Corrector
from correction.strategies import STRATEGIES
from eval.confidence_report import confidence_summary
from eval.controls import known_hops, shortcuts
from eval.evaluation import Run, cluster, fallbacks, paired_tests, run_strategies, summarise
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.suite import ANSWERABLE, MIX, Suite

KEEP = 400
UNCERTAIN = 0.8  # a likeliest bridge with less makes a question uncertain
STEPS = len(STRATEGIES) + 5


@dataclass(frozen=True, eq=False)
class Judged:
    """The results as plain data, and what every strategy said to the test questions."""

    results: dict[str, Any]
    runs: dict[str, Run]


async def judge(
    corrector: Corrector,
    suite: Suite,
    *,
    withhold_hops: bool = False,
    on_done: Callable[[str], None] = lambda name: None,
) -> Judged:
    """Runs every strategy on the test questions, and on each other set of the suite those that it is for."""
    asked = suite["test"]
    runs = await run_strategies(corrector, asked, withhold_hops=withhold_hops, on_done=on_done)
    known = await known_hops(corrector, asked)
    short = await shortcuts(corrector, asked)
    tokens = [len(corrector.loaded.tokenizer.tokenize(f" {q.bridge}")) for q in asked]
    on_done("controls")
    tables = {
        "All bridges": summarise(runs, asked, lambda index: True),
        "One-token bridges": summarise(runs, asked, lambda index: tokens[index] == 1),
        "Several-token bridges": summarise(runs, asked, lambda index: tokens[index] > 1),
        "Both hops known (the paper's filter)": summarise(runs, asked, lambda index: known[index]),
        "Without questions that a shortcut answers": summarise(runs, asked, lambda index: not short[index]),
    }
    results: dict[str, Any] = {
        "strategies": tables["All bridges"],
        "tables": {name: table for name, table in tables.items() if table["direct"]["n"]},
        "known": sum(known),
        "shortcuts": sum(short),
        "paired": paired_tests(runs, asked),
        "fallbacks": fallbacks(runs["deployed"]),
        "hops_from": "question" if withhold_hops else "hops",
        "n": len(asked),
        "bridges": len({q.bridge for q in asked}),
    }
    sure = {"test": _confidences(runs["deployed"])}
    clusters = {"test": [cluster(q) for q in asked]}
    if kept := await _kept(corrector, suite.get("keep", []), withhold_hops):
        beside = await run_strategies(corrector, kept, withhold_hops=withhold_hops, oracles=False)
        results["keep"] = summarise(beside, kept, lambda index: True)
        sure["keep"], clusters["keep"] = _confidences(beside["deployed"]), [cluster(q) for q in kept]
    on_done("keep")
    if uncertain := await _uncertain(corrector, suite.get("uncertain", [])):
        beside = await run_strategies(corrector, uncertain, withhold_hops=False, oracles=False)
        results["uncertain"] = {
            "table": summarise(beside, uncertain, lambda index: True),
            "paired": paired_tests(beside, uncertain),
            "of": len(suite["uncertain"]),
        }
    on_done("uncertain")
    for name in ("unknown", "one_hop", "chains"):
        if given := suite.get(name):
            answers = await run_strategies(
                corrector,
                given,
                strategies=("direct", "two_step", "hard_token", "deployed"),
                withhold_hops=withhold_hops,
                oracles=False,
            )
            results[name] = summarise(answers, given, lambda index: True)
            sure[name], clusters[name] = _confidences(answers["deployed"]), [cluster(q) for q in given]
    on_done("confidence")
    if all(name in sure for name in MIX):
        results["confidence"] = confidence_summary(
            {name: sure[name] for name in MIX}, ANSWERABLE, clusters={name: clusters[name] for name in MIX}
        )
    return Judged(results, runs)


def _confidences(run: Run) -> list[tuple[float, bool]]:
    """(confidence, right) of each answer; a failed question has none to be believed."""
    return [
        (answer.confidence or 0.0 if isinstance(answer, Answer) else 0.0, right)
        for answer, right in zip(run.answers, run.right, strict=True)
    ]


async def _kept(corrector: Corrector, candidates: Sequence[GoldQuestion], withhold_hops: bool) -> list[GoldQuestion]:
    """Questions that direct answers right: whatever is wrong there was broken."""
    answers = await corrector.answer_all([q.ask(withhold_hops) for q in candidates], "direct")
    right = [
        q
        for q, answer in zip(candidates, answers, strict=True)
        if isinstance(answer, Answer) and exact_match(answer.answer, q.accepted)
    ]
    return right[:KEEP]


async def _uncertain(corrector: Corrector, candidates: Sequence[GoldQuestion]) -> list[GoldQuestion]:
    """Questions whose likeliest bridge has p < 0.8, read in full depth: chosen without gold."""
    answers = await corrector.answer_all([q.ask() for q in candidates], "two_step")
    return [
        q
        for q, answer in zip(candidates, answers, strict=True)
        if isinstance(answer, Answer) and answer.bridge is not None and answer.bridge.probability < UNCERTAIN
    ]
