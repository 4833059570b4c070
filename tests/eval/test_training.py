"""Training, in miniature: every architecture learns, an interrupted run ends like an uninterrupted one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from eval.demo_world.corpus import fact_sentence
from eval.demo_world.tokenizer import build_tokenizer
from eval.demo_world.training import ARCHITECTURES, Recipe, encode, exact, train
from eval.demo_world.world import World

RECIPE = Recipe(size="tiny", steps=6, batch=8)


@pytest.fixture(scope="module")
def world() -> World:
    return World.load()


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(world)


def test_bridges_of_one_kind_are_one_token(world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    for name in (*world.objects("country"), *world.objects("company")):
        assert len(tokenizer.tokenize(f" {name}")) == 1, name
    people = world.objects("person")
    assert sum(len(tokenizer.tokenize(f" {name}")) > 1 for name in people) / len(people) > 0.95


def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("What is the currency of South Africa?", "Q: Ça va, 東京?\nA: .za +27", "x"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).strip() == text


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_learns(arch: str, world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    losses: list[float] = []
    facts = list(world.facts["country_capital"].values())[:4]
    recipe = replace(RECIPE, arch=arch, steps=60, chain_share=0.0)
    model = train(recipe, tokenizer, facts, [], on_step=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    import random

    assert len(exact(model, tokenizer, [fact_sentence(fact, random.Random(0)) for fact in facts])) == 4


def test_an_interrupted_run_ends_the_same(tmp_path: Path, world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    facts, chains = list(world)[:50], world.split_chains()["train"][:20]
    whole = train(RECIPE, tokenizer, facts, chains)

    class Killed(Exception):
        pass

    def kill(step: int, loss: float) -> None:
        if step == 4:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        train(RECIPE, tokenizer, facts, chains, checkpoint=path, save_every=3, on_step=kill)
    steps: list[int] = []
    resumed = train(
        RECIPE, tokenizer, facts, chains, checkpoint=path, save_every=3, on_step=lambda s, _: steps.append(s)
    )
    assert steps == [4, 5, 6]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_recipe_is_refused(
    tmp_path: Path, world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "checkpoint.pt"
    facts, recipe = list(world)[:20], replace(RECIPE, chain_share=0.0)
    train(recipe, tokenizer, facts, [], checkpoint=path, save_every=3)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        train(replace(recipe, seed=1), tokenizer, facts, [], checkpoint=path)


def test_labels_mark_the_answer_and_its_end(tokenizer: PreTrainedTokenizerFast) -> None:
    inputs, labels, answer = encode(tokenizer, [("The capital of France is", "Paris")])
    assert tokenizer.decode(labels[0][answer[0]].tolist()).strip() == "Paris<eos>"
    assert inputs.shape == labels.shape == answer.shape
