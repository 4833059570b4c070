"""`hopfix eval`: every strategy on the same questions, with intervals, what was fixed and what was broken."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from correction.corrector import Corrector
    from eval.questions import GoldQuestion

TEST_QUESTIONS, KEEP_CANDIDATES, KEEP_QUESTIONS = 640, 520, 400


def command(
    model: Annotated[str, typer.Option(help="Hub id or folder; default: the bundled demo model.")] = "demo",
    profile: Annotated[Path | None, typer.Option(help="Profile folder; the demo model has its own.")] = None,
    engine: Annotated[str, typer.Option(help="hf, hf+vllm")] = "hf",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto")] = "auto",
    questions: Annotated[Path | None, typer.Option(help="Question file; default: the demo world's test set.")] = None,
    hops_from: Annotated[str, typer.Option("--from", help="hops: as given; question: read from the text.")] = "hops",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N questions.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json, predictions.jsonl, report.md.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Evaluate every strategy on held-out questions."""
    if hops_from not in ("hops", "question"):
        raise typer.BadParameter("choose 'hops' or 'question'", param_hint="--from")
    results = asyncio.run(_evaluate(model, profile, engine, device, dtype, questions, hops_from, limit, out))
    if as_json:
        sys.stdout.write(json.dumps(results, ensure_ascii=False) + "\n")
    else:
        _show(results)


async def _evaluate(
    model: str,
    profile: Path | None,
    engine: str,
    device: str,
    dtype: str,
    path: Path | None,
    hops_from: str,
    limit: int | None,
    out: Path | None,
) -> dict[str, Any]:
    from correction.loading import open_corrector
    from eval import evaluation, report
    from eval.commands import progress
    from eval.demo_world.questions import demo_questions
    from eval.questions import load_questions

    asked = load_questions(path, limit) if path else demo_questions("test", TEST_QUESTIONS)[:limit]
    corrector = await open_corrector(model, profile=profile, engine=engine, device=device, dtype=dtype)
    try:
        withhold = hops_from == "question"
        steps = len(evaluation.STRATEGIES) + 1
        with progress.bar("strategies", steps) as advance:
            runs = await evaluation.run_strategies(
                corrector, asked, withhold_hops=withhold, on_done=lambda name: advance(1)
            )
        tokens = [len(corrector.loaded.tokenizer.tokenize(f" {q.bridge}")) for q in asked]
        tables = {
            "All bridges": evaluation.summarise(runs, asked, lambda index: True),
            "One-token bridges": evaluation.summarise(runs, asked, lambda index: tokens[index] == 1),
            "Several-token bridges": evaluation.summarise(runs, asked, lambda index: tokens[index] > 1),
        }
        results: dict[str, Any] = {
            "title": f"{path.stem if path else 'Demo world, test bridges'}",
            "strategies": tables["All bridges"],
            "tables": {name: table for name, table in tables.items() if table["direct"]["n"]},
            "mcnemar": evaluation.paired_tests(runs),
            "fallbacks": evaluation.fallbacks(runs["deployed"]),
            "hops_from": hops_from,
            "n": len(asked),
            "bridges": len({q.bridge for q in asked}),
            "model": corrector.loaded.name,
            "fingerprint": corrector.loaded.fingerprint,
            "profile": corrector.profile.name if corrector.profile else None,
            "engine": engine,
        }
        if path is None:
            results["keep"] = await _keep(corrector, withhold, limit)
    finally:
        await corrector.engine.close()
    if out is not None:
        report.write(out, results, runs, asked)
    return results


async def _keep(corrector: Corrector, withhold: bool, limit: int | None) -> dict[str, Any]:
    """Strategies on questions that direct answers right: whatever is wrong there was broken."""
    from correction.answers import Answer
    from eval import evaluation
    from eval.demo_world.questions import demo_questions
    from eval.scoring import exact_match

    candidates: list[GoldQuestion] = demo_questions("train", KEEP_CANDIDATES)
    answers = await corrector.answer_all([q.ask(withhold) for q in candidates], "direct")
    kept = [
        q
        for q, answer in zip(candidates, answers, strict=True)
        if isinstance(answer, Answer) and exact_match(answer.answer, q.accepted)
    ][: min(KEEP_QUESTIONS, limit or KEEP_QUESTIONS)]
    if not kept:
        return {}
    runs = await evaluation.run_strategies(corrector, kept, withhold_hops=withhold, oracle=False)
    return evaluation.summarise(runs, kept, lambda index: True)


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from eval.report import COLUMNS, table_rows

    console = Console()
    for title, table in results["tables"].items():
        shown = Table(title=title, title_justify="left")
        for number, column in enumerate(COLUMNS):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in table_rows(table):
            shown.add_row(*row, style="bold" if row[0] == "deployed" else None)
        console.print(shown)
    keep = results.get("keep")
    if keep:
        console.print(
            f"Keep set: deployed broke {keep['deployed']['broken']} of {keep['deployed']['n']} right answers."
        )
