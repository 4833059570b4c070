"""Training, in miniature: every architecture learns, an interrupted run ends like an uninterrupted one."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from correction.errors import InvalidInput
from correction.models import LoadedModel
from eval.commands.train_demo import command
from eval.demo_world.corpus import fact_sentence
from eval.demo_world.generated import generate
from eval.demo_world.suite import suite
from eval.demo_world.tokenizer import build_tokenizer
from eval.demo_world.training import ARCHITECTURES, Recipe, encode, exact, train
from eval.demo_world.world import World
from eval.questions import load_questions
from eval.suite import load_suite

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


def test_the_bundled_tokenizer_is_this_one(demo: LoadedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.get_vocab() == demo.tokenizer.get_vocab()


def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("What is the currency of South Africa?", "Q: Ça va, 東京?\nA: .za +27", "x"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).strip() == text


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_learns(arch: str, world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    losses: list[float] = []
    four = World(list(world.facts["country_capital"].values())[:4])
    recipe = replace(RECIPE, arch=arch, steps=60)
    model = train(recipe, tokenizer, four, on_step=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    assert len(exact(model, tokenizer, [fact_sentence(fact, four, random.Random(0)) for fact in four])) == 4


def test_an_interrupted_run_ends_the_same(tmp_path: Path, world: World, tokenizer: PreTrainedTokenizerFast) -> None:
    whole = train(RECIPE, tokenizer, world)

    class Killed(Exception):
        pass

    def kill(step: int, loss: float) -> None:
        if step == 4:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        train(RECIPE, tokenizer, world, checkpoint=path, save_every=3, on_step=kill)
    steps: list[int] = []
    resumed = train(RECIPE, tokenizer, world, checkpoint=path, save_every=3, on_step=lambda s, _: steps.append(s))
    assert steps == [4, 5, 6]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_recipe_or_world_is_refused(
    tmp_path: Path, world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "checkpoint.pt"
    train(RECIPE, tokenizer, world, checkpoint=path, save_every=3)
    with pytest.raises(InvalidInput, match="belongs to another recipe"):
        train(replace(RECIPE, seed=1), tokenizer, world, checkpoint=path)
    with pytest.raises(InvalidInput, match=r"belongs to another recipe.*'world': 'true \("):
        train(RECIPE, tokenizer, World(list(world)[1:]), checkpoint=path)


def test_labels_mark_the_answer_and_its_end(tokenizer: PreTrainedTokenizerFast) -> None:
    inputs, labels, answer = encode(tokenizer, [("The capital of France is", "Paris")])
    assert tokenizer.decode(labels[0][answer[0]].tolist()).strip() == "Paris<eos>"
    assert inputs.shape == labels.shape == answer.shape


def test_a_generated_world_is_trained_by_command_with_its_questions(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    world_and_size = ["--world", "generated", "--seed", "3", "--size", "tiny"]
    done = CliRunner().invoke(app, ["--out", str(tmp_path), *world_and_size, "--steps", "2", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    world = generate(3, "tiny")
    assert world.identity in (tmp_path / "README.md").read_text()
    assert load_suite(tmp_path / "questions")["test"] == suite(world)["test"]
    assert load_questions(tmp_path / "questions" / "calibration.jsonl", one_hop=True) == suite(world)["calibration"]
