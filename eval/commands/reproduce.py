"""`hopfix reproduce`: the paper's multi-hop table and ours on any model, from loading to report, in one command."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.commands.options import Device, Dtype, Format, Model


def command(
    model: Model = "demo",
    target_model: Annotated[
        str | None, typer.Option(help="A larger model of its family: cross-model patching is reproduced, too.")
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(help="A file, a folder, or a dataset on the hub; default: the demo world's true facts."),
    ] = None,
    format: Format = "hopfix",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N questions.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Annotated[Path, typer.Option(help="Folder for profile, predictions and report; a killed run goes on.")] = Path(
        "reproduction"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Reproduce the paper's multi-hop table on a model, with what can be deployed beside it."""
    results = asyncio.run(_reproduce(model, target_model, questions, format, limit, device, dtype, out))
    if as_json:
        sys.stdout.write(json.dumps(results, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{out / 'report.md'}\n{out / 'report.html'}\n")


async def _reproduce(
    model: str,
    target_model: str | None,
    path: str | None,
    format: str,
    limit: int | None,
    device: str,
    dtype: str,
    out: Path,
) -> dict[str, Any]:
    from correction.loading import open_corrector
    from eval.calibration import most_steps
    from eval.commands import progress
    from eval.commands.evaluate import about_model
    from eval.reports.document import write_html, write_markdown
    from eval.reproduction import calibrated, document, reproduced

    chosen, scored, scorer, title = _questions(path, format, limit)
    corrector = await open_corrector(model, device=device, dtype=dtype)
    try:
        note = "The bundled model has its own profile, calibrated on other bridges."
        if corrector.profile is None:
            with progress.steps("calibration", most_steps(corrector.loaded.parts.depth)) as begin:
                corrector, note = await calibrated(corrector, chosen, out, begin)
        about = {
            **about_model(corrector, "hf"),
            "title": title,
            "scoring": scorer.says,
            "hops_from": "hops",
            "command": shlex.join(["hopfix", *(word for word in sys.argv[1:] if word != "--json")]),
        }
        with progress.bar("questions", len(scored)) as advance:
            results = await reproduced(corrector, scored, scorer, out, about, advance)
    finally:
        await corrector.engine.close()
    report = document(results, [note, f"{len(scored)} test questions."])
    if target_model is not None:
        report = await _with_cross_model(report, results, model, target_model, device, dtype)
    write_markdown(report, out / "report.md")
    write_html(report, out / "report.html")
    partial = out / "results.json.partial"
    partial.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(out / "results.json")
    return results


def _questions(path: str | None, format: str, limit: int | None) -> tuple[list[Any], list[Any], Any, str]:
    """Calibration and test questions about different bridges, their scorer, and a title."""
    from eval.commands.evaluate import dataset_named
    from eval.datasets import Reading
    from eval.datasets.hub import fetched
    from eval.demo_world.suite import demo_suite
    from eval.reproduction import split
    from eval.scorers import SCORERS

    dataset = dataset_named(format)
    if path is None:
        suite = demo_suite()
        return suite["calibration"], suite["test"][:limit], SCORERS["squad"], "True facts of the demo world"
    here = fetched(path, dataset)
    chosen, scored = split(list(Reading(dataset, here, limit=limit)))
    return chosen, scored, SCORERS[dataset.scorer], f"{dataset.title}: {Path(path).name}"


async def _with_cross_model(
    report: Any, results: dict[str, Any], model: str, target_model: str, device: str, dtype: str
) -> Any:
    """The report with the cross-model experiment's sections."""
    from contextlib import AsyncExitStack
    from dataclasses import replace

    from eval.commands import progress
    from eval.commands.experiment import open_lab
    from eval.experiments import EXPERIMENTS
    from eval.reports.document import Section

    experiment = EXPERIMENTS["cross-model"]
    opened = {"profile": None, "device": device, "dtype": dtype}
    async with AsyncExitStack() as stack:
        say = stack.enter_context(progress.stages(experiment.name))
        named = {"": model, "target": target_model}
        lab = await open_lab(stack, experiment, named, opened, experiment.count, Path("runs/models"), say)
        results["cross_model"], document = await experiment(lab)
    sections = [Section(experiment.title, document.lead), *document.sections[:-1]]
    return replace(report, sections=[*report.sections[:-1], *sections, report.sections[-1]])
