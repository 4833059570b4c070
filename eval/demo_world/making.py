"""Makes a demo model: trains it, and writes a folder with model, tokenizer, card and questions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from eval.demo_world.card import card, measure
from eval.demo_world.suite import suite, write_suite
from eval.demo_world.tokenizer import build_tokenizer
from eval.demo_world.training import Recipe, train
from eval.demo_world.world import World


def make_model(
    out: Path,
    recipe: Recipe,
    world: World,
    *,
    tokenizer: PreTrainedTokenizerFast | None = None,
    device: str = "cpu",
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, dict[str, float]]:
    """Trains from scratch, or on where an interrupted training left off, and gives what the model was measured to know.

    A folder with config.json is a whole model: it is written last.
    """
    tokenizer = tokenizer or build_tokenizer(world)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    model = train(recipe, tokenizer, world, device=device, checkpoint=checkpoint, on_step=on_step)
    measured = measure(model, tokenizer, world)
    shape = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
    }
    write_suite(suite(world), out / "questions")
    partial = out / "partial"
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card(recipe, world, measured, shape), encoding="utf-8")
    for file in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
        file.replace(out / file.name)
    shutil.rmtree(partial)
    checkpoint.unlink(missing_ok=True)
    return measured
