"""`hopfix train-demo`: reproduces data, tokenizer and weights of the demo model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from eval.commands.options import Device


def command(
    out: Annotated[Path, typer.Option(help="Folder for model, tokenizer, card and questions.")],
    arch: Annotated[str, typer.Option(help="llama, gpt_neox, qwen3")] = "llama",
    size: Annotated[str, typer.Option(help="tiny, small, medium")] = "small",
    world: Annotated[
        str, typer.Option(help="true: the facts of the bundled model; generated: drawn from --seed.")
    ] = "true",
    seed: Annotated[int, typer.Option(min=0, help="Decides the weights, and a generated world.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Default: enough for this world and size.")] = None,
    device: Device = "auto",
) -> None:
    """Train a demo model from scratch; run it again after an interruption and it goes on."""
    from dataclasses import replace

    from correction.models import resolve_device
    from eval.commands import progress
    from eval.demo_world.generated import generate
    from eval.demo_world.making import make_model
    from eval.demo_world.tokenizer import build_tokenizer
    from eval.demo_world.training import ARCHITECTURES, GENERATED, SIZES, Recipe
    from eval.demo_world.world import World

    for value, known, flag in (
        (arch, ARCHITECTURES, "--arch"),
        (size, tuple(SIZES), "--size"),
        (world, ("true", "generated"), "--world"),
    ):
        if value not in known:
            raise typer.BadParameter(f"choose one of {', '.join(known)}", param_hint=flag)
    base = Recipe(size=size) if world == "true" else GENERATED[size]
    recipe = replace(base, arch=arch, seed=seed, steps=steps or base.steps)
    torch_device = resolve_device(device)
    # A tiny model is for trying things out: it gets a world that it learns in a minute.
    told = World.load() if world == "true" else generate(seed, "tiny" if size == "tiny" else "small")
    tokenizer = build_tokenizer(told)
    facts, chains = len(list(told)), len(told.split_chains()["train"])
    typer.echo(f"{facts} facts, {chains} two-hop chains, {len(tokenizer)} tokens", err=True)
    with progress.bar("training", recipe.steps) as advance:
        done = 0

        def on_step(step: int, loss: float) -> None:
            nonlocal done
            advance(step - done)
            done = step
            if step % 100 == 0:
                typer.echo(f"step {step} of {recipe.steps}, loss {loss:.3f}", err=True)

        measured = make_model(out, recipe, told, tokenizer=tokenizer, device=str(torch_device), on_step=on_step)
    for name, cell in measured.items():
        sys.stdout.write(f"{name}\t{cell['accuracy']:.4f}\t{cell['n']:.0f}\n")
