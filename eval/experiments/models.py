"""The models of the experiments: one of the user's, the bundled one, or small ones trained here on a generated world.

Trained models stay in a folder, so that a second experiment need not train them again; each takes a minute or two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from eval.demo_world.generated import generate
from eval.demo_world.making import make_model
from eval.demo_world.tokenizer import build_tokenizer
from eval.demo_world.training import GENERATED, Recipe
from eval.demo_world.world import World

SEED = 7
FEW_PIECES = 300  # of names: a tokenizer that cuts them elsewhere than the others' does


@dataclass(frozen=True)
class Trained:
    """A small model of the generated world. `own_tokenizer`: with pieces of names that no other model has."""

    arch: str = "llama"
    size: str = "tiny"
    own_tokenizer: bool = False
    weights_seed: int = SEED

    @property
    def name(self) -> str:
        """Of its folder."""
        own = "-own-tokenizer" if self.own_tokenizer else ""
        return f"{self.arch}-{self.size}{own}-{self.weights_seed}"

    @property
    def recipe(self) -> Recipe:
        """As `train-demo --world generated --size tiny` trains, at any width."""
        return replace(GENERATED["tiny"], arch=self.arch, size=self.size, seed=self.weights_seed)


MODELS = {
    "llama-tiny": Trained(),
    "llama-small": Trained(size="small"),
    "llama-other-seed": Trained(weights_seed=SEED + 1),
    "qwen3-tiny": Trained(arch="qwen3"),
    "gpt_neox-own-tokenizer": Trained(arch="gpt_neox", own_tokenizer=True),
}


def small_world() -> World:
    """The world that these models know: 256 facts, some of them disputed, and some told nowhere."""
    return generate(SEED, "tiny")


def trained(model: Trained, folder: Path, say: Callable[[str], None]) -> Path:
    """The model's folder; trains it first if it is not there."""
    out = folder / model.name
    if (out / "config.json").exists():
        return out
    world = small_world()
    tokenizer = build_tokenizer(world, FEW_PIECES) if model.own_tokenizer else _shared_tokenizer(world, folder)
    steps = model.recipe.steps

    def on_step(step: int, loss: float) -> None:
        if step % 25 == 0:
            say(f"training {model.name}, step {step} of {steps}")

    make_model(out, model.recipe, world, tokenizer=tokenizer, on_step=on_step)
    return out


def _shared_tokenizer(world: World, folder: Path) -> PreTrainedTokenizerFast:
    """Built once: the trainer of its pieces does not give the same ones every time."""
    path = folder / "tokenizer"
    if not (path / "tokenizer_config.json").exists():
        build_tokenizer(world).save_pretrained(path)
    loaded: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(path)
    return loaded
