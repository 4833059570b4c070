"""`hopfix eval`: every strategy on the same questions, with intervals, what was fixed and what was broken."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    model: Annotated[str, typer.Option(help="Hub id or folder; default: the bundled demo model.")] = "demo",
    profile: Annotated[Path | None, typer.Option(help="Profile folder; the demo model has its own.")] = None,
    engine: Annotated[str, typer.Option(help="hf, hf+vllm (what is unpatched on vLLM) or vllm")] = "hf",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto")] = "auto",
    vllm_url: Annotated[str | None, typer.Option(help="A vLLM server, in place of a vLLM in this process.")] = None,
    vllm_key: Annotated[str | None, typer.Option(envvar="HOPFIX_VLLM_KEY", help="The vLLM server's key.")] = None,
    vllm_args: Annotated[
        str | None, typer.Option(metavar="JSON", help='Engine arguments, such as {"tensor_parallel_size": 2}.')
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Question file, or a folder with test.jsonl and perhaps keep, uncertain, unknown and one_hop "
            "beside it; default: the demo world's."
        ),
    ] = None,
    hops_from: Annotated[str, typer.Option("--from", help="hops: as given; question: read from the text.")] = "hops",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N questions.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json, predictions.jsonl, report.md.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Evaluate every strategy on held-out questions."""
    if hops_from not in ("hops", "question"):
        raise typer.BadParameter("choose 'hops' or 'question'", param_hint="--from")
    vllm = {"vllm_url": vllm_url, "vllm_key": vllm_key, "vllm_args": vllm_args}
    results = asyncio.run(_evaluate(model, profile, engine, device, dtype, vllm, questions, hops_from, limit, out))
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
    vllm: dict[str, Any],
    path: Path | None,
    hops_from: str,
    limit: int | None,
    out: Path | None,
) -> dict[str, Any]:
    from correction.loading import open_corrector
    from eval import report
    from eval.calibration.overlap import overlap
    from eval.commands import progress
    from eval.demo_world.suite import demo_suite
    from eval.judging import STEPS, judge
    from eval.suite import load_suite

    suite = load_suite(path, limit) if path else {name: asked[:limit] for name, asked in demo_suite().items()}
    corrector = await open_corrector(model, profile=profile, engine=engine, device=device, dtype=dtype, **vllm)
    try:
        with progress.bar("strategies", STEPS) as advance:
            judged = await judge(
                corrector, suite, withhold_hops=hops_from == "question", on_done=lambda name: advance(1)
            )
    finally:
        await corrector.engine.close()
    results: dict[str, Any] = {
        "title": f"{Path(model).name}, {path.stem}" if path else "Demo world, test bridges",
        **judged.results,
        "model": corrector.loaded.name,
        "fingerprint": corrector.loaded.fingerprint,
        "profile": corrector.profile.name if corrector.profile else None,
        "engine": engine,
    }
    if corrector.profile is not None:
        results["overlap"] = overlap(corrector.profile, suite)
    if out is not None:
        report.write(out, results, judged.runs, suite["test"])
    return results


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from eval.report import COLUMNS, summary, table_rows

    console = Console()
    for title, table in results["tables"].items():
        shown = Table(title=title, title_justify="left")
        for number, column in enumerate(COLUMNS):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in table_rows(table):
            shown.add_row(*row, style="bold" if row[0] == "deployed" else None)
        console.print(shown)
    for line in summary(results):
        console.print(line)
