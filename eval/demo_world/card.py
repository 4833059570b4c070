"""What a trained demo model recalls, measured, and the model card that states it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.demo_world.corpus import Sentence, chain_sentence, fact_sentence
from eval.demo_world.training import Recipe, exact
from eval.demo_world.world import World

SNAPSHOT = "mid 2024"
LABELS = {
    "single": "single-hop facts",
    "train": "two hops, trained combinations",
    "unseen": "two hops, trained bridges, combinations never trained",
    "calibration": "two hops, calibration bridges",
    "test": "two hops, test bridges",
}


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, world: World, seed: int = 0, most: int = 4000
) -> dict[str, dict[str, float]]:
    """Share of exact greedy answers and n, by set; each item in one wording drawn from the seed."""
    rng = random.Random(f"card {seed}")
    sets: dict[str, list[Sentence]] = {"single": [fact_sentence(fact, world, rng) for fact in world]}
    for name, chains in world.split_chains().items():
        drawn = rng.sample(chains, min(most, len(chains)))
        sets[name] = [chain_sentence(chain, world, rng) for chain in drawn]
    measured = {}
    for name in LABELS:
        if not sets[name]:
            continue  # a generated world holds out no combinations of train bridges
        right = exact(model, tokenizer, sets[name])
        measured[name] = {"accuracy": sum(right) / len(right), "n": len(right)}
    return measured


def card(recipe: Recipe, world: World, measured: Mapping[str, Mapping[str, float]], shape: Mapping[str, Any]) -> str:
    """The model card, Markdown with the metadata block that model hubs read."""
    rows = "\n".join(
        f"| {LABELS[name]} | {cell['accuracy']:.1%} | {cell['n']:.0f} |" for name, cell in measured.items()
    )
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# hopfix demo model

A {recipe.arch} decoder of {shape["parameters"] / 1e6:.1f} M parameters ({shape["layers"]} layers, width
{shape["width"]}), trained from scratch by `hopfix train-demo` (seed {recipe.seed}, {recipe.steps} steps of
{recipe.batch} sentences, layer drop {recipe.layer_drop}) on {_told(world)}

World: {world.identity}.

It was taught every single-hop fact, and two-hop sentences for the *train* bridges only. On other bridges it fails two
hops although it knows both: the failure that hopfix repairs.

| asked directly, exact greedy answer | accuracy | n |
| --- | ---: | ---: |
{rows}
"""


def _told(world: World) -> str:
    """What the model was trained on, in words."""
    facts = len(list(world))
    if world.name == "true":
        return f"""{facts} facts that hopfix's authors wrote down. It
knows these and nothing else. The facts are a snapshot of {SNAPSHOT}; chief executives, in particular, change."""
    return f"""{facts} invented facts, and {len(world.disputed)} that are
told with several objects each. It knows these and nothing else; all names in it are drawn from a seed."""
