"""Every experiment runs from a lab to figures and a report; on few cases, so that what it finds is not looked at.

What their parts measure is tested where they are: mappings, grids, sweeps, lenses and probes.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import InvalidInput
from correction.inspector import Host, Inspector
from correction.models import LoadedModel, load_model
from correction.passes import Capture, Pass, Patch, Sampling
from correction.profile import Profile
from correction.prompts import without_full_stop
from eval.demo_world.questions import demo_questions
from eval.demo_world.training import GENERATED
from eval.demo_world.world import World
from eval.experiments import EXPERIMENTS, experiment_named
from eval.experiments.lab import Lab, best_of
from eval.experiments.models import MODELS, small_world, trained
from eval.experiments.notebook import fits, notebook_oracle
from eval.questions import GoldQuestion
from eval.reports.document import Document, Picture, Section, Table, write_html, write_markdown
from eval.scorers import SCORERS
from eval.scoring import exact_match

CASES = 6
Asking = Callable[[Lab], Awaitable[Any]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small models after a few steps: they know nothing, but they have every part."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(GENERATED, "tiny", replace(GENERATED["tiny"], steps=12))
        for model in MODELS.values():
            trained(model, folder, lambda stage: None)
    return folder


class Opened:
    """A lab in an event loop of its own."""

    def __init__(self, loaded: dict[str | None, LoadedModel], world: World, profile: Profile | None = None) -> None:
        self.loaded, self.world, self.profile = loaded, world, profile

    def __call__(self, ask: Asking, count: int = CASES) -> Any:
        async def go() -> Any:
            hosts = {name: Host(loaded, HFEngine(loaded)) for name, loaded in self.loaded.items()}
            try:
                first = hosts[None]
                corrector = Corrector(first.loaded, first.engine, self.profile)
                return await ask(Lab(Inspector(hosts), self.world, count, corrector, "model"))
            finally:
                for host in hosts.values():
                    await host.engine.close()

        return asyncio.run(go())


@pytest.fixture(scope="module")
def demo_lab(demo: LoadedModel, demo_profile: Profile) -> Opened:
    return Opened({None: demo}, World.load(), demo_profile)


@pytest.fixture(scope="module")
def small_lab(models: Path) -> Callable[[tuple[str, ...]], Opened]:
    def opened(names: tuple[str, ...]) -> Opened:
        loaded = [load_model(str(models / MODELS[name].name), device="cpu") for name in names]
        return Opened(dict(zip([None, *names[1:]], loaded, strict=True)), small_world())

    return opened


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from numbers(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from numbers(entry)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_an_experiment_ends_in_figures_and_a_report(
    name: str, demo_lab: Opened, small_lab: Callable[[tuple[str, ...]], Opened], tmp_path: Path
) -> None:
    experiment = EXPERIMENTS[name]
    lab = demo_lab if experiment.models == ("demo",) else small_lab(experiment.models)
    figures, document = lab(experiment)
    assert all(math.isfinite(number) for number in numbers(json.loads(json.dumps(figures))))
    write_markdown(document, tmp_path / "report.md")
    write_html(document, tmp_path / "report.html")
    text = (tmp_path / "report.md").read_text()
    for needed in ("**What the paper found.**", "**What was found here.**", f"hopfix eval experiment {name}"):
        assert needed in text
    for picture in (b for section in document.sections for b in section.blocks if isinstance(b, Picture)):
        assert (tmp_path / "pictures" / f"{picture.name}.png").stat().st_size > 1000
    assert str(tmp_path) not in text


def test_a_world_that_was_trained_can_be_asked_of_its_states(demo_lab: Opened) -> None:
    """The vocabulary mapping into layer 0 is text again: the reading of a known bridge follows the model."""

    async def go(lab: Lab) -> tuple[dict[str, Any], Document]:
        return await EXPERIMENTS["fidelity"](lab)

    figures, _ = demo_lab(go, 12)
    assert figures["told, vocabulary to 0"]["faithful"]["6"] >= 0.9


def test_the_best_pair_is_the_earliest_of_equals() -> None:
    assert best_of({(2, 1): 0.5, (1, 1): 0.5, (1, 0): 0.4}) == (1, 1)


def test_a_grid_across_models_is_the_same_as_a_patchscope(small_lab: Callable[[tuple[str, ...]], Opened]) -> None:
    lab = small_lab(("llama-tiny", "llama-other-seed"))

    async def go(lab: Lab) -> tuple[list[str], list[str]]:
        site = lab.blank("The thing of {} is", "llama-other-seed")
        states = await lab.states([("The thing of it is", -1)], [1, 2])
        said = await lab.grid([site], states, [0, 2], giver=None, taker="llama-other-seed")
        one_by_one = []
        for n in range(2):
            for at in (0, 2):
                alone = await lab.grid([site], states[:, [n]], [at], giver=None, taker="llama-other-seed")
                one_by_one.append(alone[0][0][0])
        return [text for row in said[0] for text in row], one_by_one

    together, alone = lab(go)
    assert together == alone


def test_paired_states_stand_at_the_same_places(small_lab: Callable[[tuple[str, ...]], Opened]) -> None:
    lab = small_lab(("llama-tiny", "llama-small"))

    async def go(lab: Lab) -> tuple[torch.Tensor, torch.Tensor]:
        return lab.pairs(None, "llama-small", lab.sentences(70, "x"))

    given, taken = lab(go)
    assert given.shape[0] == taken.shape[0] > 70
    assert (given.shape[1:], taken.shape[1:]) == ((5, 96), (7, 128))


def test_models_of_one_family_share_a_tokenizer(models: Path) -> None:
    vocabularies = {name: load_model(str(models / MODELS[name].name)).tokenizer.get_vocab() for name in MODELS}
    assert vocabularies["llama-tiny"] == vocabularies["llama-small"] == vocabularies["qwen3-tiny"]
    assert vocabularies["llama-tiny"] != vocabularies["gpt_neox-own-tokenizer"]


def test_the_notebooks_protocol_needs_words_before_the_bridge(demo_lab: Opened) -> None:
    known = GoldQuestion(
        "1",
        "Q?",
        "The country where Kruger National Park is located is",
        "The currency of {} is",
        "South Africa",
        "rand",
    )
    assert fits(known)
    assert not fits(replace(known, hop2="{} uses the currency"))
    assert not fits(replace(known, hop3="{} is"))
    assert demo_lab(lambda lab: notebook_oracle(lab.corrector, [], SCORERS["squad"])) == []


def test_the_notebooks_grid_is_its_passes_one_by_one(demo_lab: Opened) -> None:
    questions = [q for q in demo_questions("test", 20) if fits(q)][:10]

    async def one_by_one(lab: Lab) -> list[bool]:
        engine, prompts, layers = lab.host().engine, lab.corrector.prompts, range(1, lab.depth() + 1)
        marks = []
        for question in questions:
            before = prompts.encode_raw(question.hop2.partition("{}")[0].strip())
            phrase = prompts.encode_raw(question.hop1.removesuffix(" is"))
            read = await engine.run(Pass(before, tuple(Capture(n) for n in layers), sampling=Sampling(0, 0)))
            patches = [Patch(at, len(phrase) - 1, state[0]) for state in read.states for at in range(lab.depth())]
            length = Sampling(lab.corrector.max_tokens, 0)
            said = [await engine.run(Pass(phrase, patches=(patch,), sampling=length)) for patch in patches]
            marks.append(any(exact_match(without_full_stop(r.text), question.accepted) for r in said))
        return marks

    marks = demo_lab(lambda lab: notebook_oracle(lab.corrector, questions, SCORERS["squad"]))
    assert marks == demo_lab(one_by_one)
    assert len(marks) == len(questions)


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(InvalidInput, match="no experiment 'tea': choose one of next-token"):
        experiment_named("tea")


def test_a_report_says_which_models_it_ran_on(demo_lab: Opened) -> None:
    _, document = demo_lab(EXPERIMENTS["entity-resolution"])
    assert "`model` (llama, 6 layers, width 128)" in document.lead[2].markdown
    assert isinstance(document.sections[0], Section)
    assert any(isinstance(block, Table) for block in document.sections[0].blocks)
