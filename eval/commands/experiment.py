"""`hopfix eval experiment`: the paper's experiments, and those it leaves open, each from one command to a report."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.commands.options import Device, Dtype
from eval.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from correction.corrector import Corrector
    from eval.experiments import Experiment
    from eval.experiments.lab import Lab


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="Which; all of them are listed without it.", autocompletion=lambda: list(EXPERIMENTS)),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Hub id, folder or .gguf file; default: the bundled one, or small ones trained here."),
    ] = None,
    target_model: Annotated[
        str | None, typer.Option(help="A second model, where states of one are read by another.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of --model, a folder or on the hub.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    cases: Annotated[int | None, typer.Option(min=4, help="Cases a condition; default: the experiment's own.")] = None,
    models: Annotated[Path, typer.Option(help="Where models that are trained here are kept.")] = Path("runs/models"),
    out: Annotated[Path | None, typer.Option(help="Folder for the report, its pictures and figures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON on stdout.")] = False,
) -> None:
    """Run one of the paper's experiments, or one that it leaves open."""
    from eval.experiments import experiment_named

    if name is None:
        width = max(map(len, EXPERIMENTS))
        for experiment in EXPERIMENTS.values():
            sys.stdout.write(f"{experiment.name:<{width}}  {experiment.summary}\n")
        return
    experiment = experiment_named(name)
    if target_model is not None and (model is None or len(experiment.models) == 1):
        raise typer.BadParameter(
            "it goes with --model, and with an experiment on two models", param_hint="--target-model"
        )
    named = {} if model is None else {"": model} | ({"target": target_model} if target_model is not None else {})
    if named and len(experiment.models) > 1 and len(named) == 1:
        raise typer.BadParameter(f"{name} needs a second model", param_hint="--target-model")
    opened = {"profile": profile, "device": device, "dtype": dtype}
    figures = asyncio.run(_run(experiment, named, opened, cases, models, out))
    if as_json:
        sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")


async def _run(
    experiment: Experiment,
    named: dict[str, str],
    opened: dict[str, Any],
    cases: int | None,
    models: Path,
    out: Path | None,
) -> dict[str, Any]:
    from eval.commands import progress
    from eval.reports.document import markdown, write_html, write_markdown

    async with AsyncExitStack() as stack:
        say = stack.enter_context(progress.stages(experiment.name))
        lab = await open_lab(stack, experiment, named, opened, cases or experiment.count, models, say)
        figures, document = await experiment(lab)
    if out is None:
        sys.stdout.write(markdown(document))
        return figures
    write_markdown(document, out / f"{experiment.name}.md")
    write_html(document, out / f"{experiment.name}.html")
    partial = out / f"{experiment.name}.json.partial"
    partial.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(out / f"{experiment.name}.json")
    return figures


async def open_lab(
    stack: AsyncExitStack,
    experiment: Experiment,
    named: dict[str, str],
    opened: dict[str, Any],
    cases: int,
    models: Path,
    say: Callable[[str], None],
) -> Lab:
    """The models of an experiment, loaded: those that were named, the bundled one, or those trained here."""
    from correction.inspector import Host, Inspector
    from correction.loading import open_corrector
    from eval.demo_world.world import World
    from eval.experiments.lab import Lab
    from eval.experiments.models import MODELS, small_world, trained

    ours = not named and experiment.models[0] in MODELS
    if ours:
        named = {name: str(await asyncio.to_thread(trained, MODELS[name], models, say)) for name in experiment.models}
    say("loading")
    correctors = []
    for name, model in (named or {"": "demo"}).items():
        given = opened if not correctors else {**opened, "profile": None}
        # Of a model that was just trained nobody expects a profile: no warning that it has none.
        corrector = _plain(model) if ours else await open_corrector(model, **given)
        stack.push_async_callback(corrector.engine.close)
        correctors.append((name if correctors else None, corrector))
    hosts = {name: Host(corrector.loaded, corrector.engine) for name, corrector in correctors}
    label = next(iter(named)) if ours else Path(named[""]).name if named else "demo"
    world = small_world() if ours else World.load()
    return Lab(Inspector(hosts), world, cases, correctors[0][1], label, say)


def _plain(model: str) -> Corrector:
    from correction.corrector import Corrector
    from correction.engines import HFEngine
    from correction.models import load_model

    loaded = load_model(model, device="cpu", dtype="float32")
    return Corrector(loaded, HFEngine(loaded))
