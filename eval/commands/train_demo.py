"""`hopfix train-demo`: reproduces data, tokenizer and weights of the demo model."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option(help="Folder for model, tokenizer and card.")],
    arch: Annotated[str, typer.Option(help="llama, gpt_neox, qwen3")] = "llama",
    size: Annotated[str, typer.Option(help="tiny, small, medium")] = "small",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Default: the bundled model's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
) -> None:
    """Train the demo model from scratch; run it again after an interruption and it goes on."""
    from correction.models import resolve_device
    from eval.commands import progress
    from eval.demo_world.card import card, measure
    from eval.demo_world.tokenizer import build_tokenizer
    from eval.demo_world.training import ARCHITECTURES, SIZES, Recipe, train
    from eval.demo_world.world import World

    for value, known, flag in ((arch, ARCHITECTURES, "--arch"), (size, tuple(SIZES), "--size")):
        if value not in known:
            raise typer.BadParameter(f"choose one of {', '.join(known)}", param_hint=flag)
    recipe = Recipe(arch=arch, size=size, seed=seed, **({"steps": steps} if steps else {}))
    torch_device = resolve_device(device)
    world = World.load()
    tokenizer = build_tokenizer(world)
    facts, chains = list(world), world.split_chains()["train"]
    typer.echo(f"{len(facts)} facts, {len(chains)} two-hop chains, {len(tokenizer)} tokens", err=True)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    with progress.bar("training", recipe.steps) as advance:
        done = 0

        def on_step(step: int, loss: float) -> None:
            nonlocal done
            advance(step - done)
            done = step
            if step % 100 == 0:
                typer.echo(f"step {step} of {recipe.steps}, loss {loss:.3f}", err=True)

        model = train(
            recipe, tokenizer, facts, chains, device=str(torch_device), checkpoint=checkpoint, on_step=on_step
        )
    measured = measure(model, tokenizer, world)
    shape = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
        "facts": len(facts),
    }
    # Written beside and moved, so that a folder with config.json is a whole model.
    partial = out / "partial"
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card(recipe, measured, shape), encoding="utf-8")
    for file in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
        file.replace(out / file.name)
    shutil.rmtree(partial)
    checkpoint.unlink(missing_ok=True)
    for name, cell in measured.items():
        sys.stdout.write(f"{name}\t{cell['accuracy']:.4f}\t{cell['n']:.0f}\n")
