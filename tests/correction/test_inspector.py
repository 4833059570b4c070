"""The inspector against passes put together by hand, within a model and between two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from correction.architecture import Blocks
from correction.engines import HFEngine
from correction.errors import InvalidInput, InvalidMapping, UnsupportedModel
from correction.forward import generate, states
from correction.inspector import Host, Inspector
from correction.mappings import mapping_named, save_mapping
from correction.mappings.affine import Affine
from correction.mappings.fitted import Fitted
from correction.models import LoadedModel
from correction.passes import Pass, PassResult, Patch, Sampling
from correction.patchscope import Graft, Patchscope, Source, Target, find_sites
from correction.profile import Choice
from correction.questions import Question
from tests.architectures import random_weights
from tests.conftest import Asked

Given = TypeVar("Given")
HOP1 = Source(prompt="The country where Kruger National Park is located is", layer=6)
HOP2 = Target(prompt="The currency of x is", layer=0, position="x")
QUESTION = Question("What is the currency of the country where Kruger National Park is located?")
CORRECTION = Patchscope(source=HOP1, target=HOP2, mapping="vocabulary")


def inspect(do: Callable[[Inspector], Awaitable[Given]], **models: LoadedModel) -> Given:
    """`do` with an inspector of these models; `own` is the one that is meant where none is named."""

    async def go() -> Given:
        hosts = {None if name == "own" else name: Host(m, HFEngine(m)) for name, m in models.items()}
        try:
            return await do(Inspector(hosts))
        finally:
            for host in hosts.values():
                await host.engine.close()

    return asyncio.run(go())


def by_hand(demo: LoadedModel, scope: Patchscope) -> list[int]:
    """The same with the forward alone."""
    source = find_sites(demo, scope.source.prompt, scope.source.layer, scope.source.position)
    target = find_sites(demo, scope.target.prompt, scope.target.layer, scope.target.position)
    (read,) = states(demo.model, demo.parts, [source.tokens], list(source.layers), pad=0)
    patches = tuple(
        Patch(layer, position, read[n, at], mapping_named(scope.mapping))
        for n, (layer, position, at) in enumerate(zip(target.layers, target.positions, source.positions, strict=True))
    )
    request = Pass(target.tokens, patches=patches, sampling=Sampling(scope.max_tokens, 0))
    return generate(demo.model, demo.parts, [request], stop=demo.stop_tokens, pad=0)[0].tokens


def test_a_patchscope_corrects_two_hops(demo: LoadedModel) -> None:
    (outcome,) = inspect(lambda inspector: inspector.run([CORRECTION]), own=demo)
    assert outcome.text == "rand"
    assert list(outcome.tokens) == by_hand(demo, CORRECTION)
    assert outcome.alternatives[0][1] > 0.9
    assert Patchscope.parse(outcome.to_json()["patchscope"]) == CORRECTION


def test_spans_with_a_layer_for_each_token(demo: LoadedModel) -> None:
    scope = Patchscope(
        source=Source(prompt=HOP1.prompt, layer=(3, 5), position=(-2, -1)),
        target=Target(prompt=HOP2.prompt, layer=(1, 2), position=(2, "x")),
        max_tokens=3,
    )
    (outcome,) = inspect(lambda inspector: inspector.run([scope]), own=demo)
    assert list(outcome.tokens) == by_hand(demo, scope)


def test_several_sites_in_one_pass(demo: LoadedModel) -> None:
    """The same state twice is the patch alone; the target's own state after it undoes it."""
    clean = Source(prompt=HOP2.prompt, layer=0, position="x")
    again = CORRECTION.model_copy(update={"also": (Graft(source=HOP1, layer=0, position="x", mapping="vocabulary"),)})
    other = Patchscope(
        source=clean, target=HOP2, also=(Graft(source=HOP1, layer=0, position="x", mapping="vocabulary"),)
    )
    idle = Patchscope(source=clean, target=HOP2, also=(Graft(source=clean, layer=0, position="x"),))
    alone, twice, mixed, nothing = inspect(lambda inspector: inspector.run([CORRECTION, again, other, idle]), own=demo)
    assert alone.logprobs == twice.logprobs
    unpatched = Pass(find_sites(demo, HOP2.prompt, 0, -1).tokens, sampling=Sampling(16, 0))
    (plain,) = generate(demo.model, demo.parts, [unpatched], stop=demo.stop_tokens, pad=0)
    assert list(nothing.tokens) == plain.tokens != list(alone.tokens)
    assert len(mixed.patchscope.grafts) == 2


def test_a_source_prompt_is_read_once(demo: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Pass] = []
    run = HFEngine.run

    async def counted(engine: HFEngine, request: Pass) -> PassResult:
        asked.append(request)
        return await run(engine, request)

    monkeypatch.setattr(HFEngine, "run", counted)
    scopes = [CORRECTION.model_copy(update={"source": HOP1.model_copy(update={"layer": k})}) for k in range(1, 7)]
    inspect(lambda inspector: inspector.run(scopes), own=demo)
    sources = [request for request in asked if request.captures]
    assert len(sources) == 1
    assert len(sources[0].captures) == 6
    assert len(asked) == 7


def test_a_grid_is_its_cells(demo: LoadedModel) -> None:
    scope = CORRECTION.model_copy(update={"mapping": "identity", "max_tokens": 3})

    async def both(inspector: Inspector) -> tuple[list[list[str]], list[str]]:
        _, texts = await inspector.grid(scope, [2, 6], [0, 1, 5])
        cells = [
            scope.model_copy(
                update={
                    "source": HOP1.model_copy(update={"layer": layer}),
                    "target": HOP2.model_copy(update={"layer": to}),
                }
            )
            for layer in (2, 6)
            for to in (0, 1, 5)
        ]
        return texts, [outcome.text for outcome in await inspector.run(cells)]

    texts, alone = inspect(both, own=demo)
    assert [text for row in texts for text in row] == alone


def named(name: str, demo: LoadedModel, dtype: torch.dtype = torch.float32, **tokenizer: object) -> LoadedModel:
    model = random_weights(name, dtype=dtype)
    return LoadedModel(name, demo.folder, model, demo.tokenizer, Blocks.of(model))


def test_states_cross_between_models(demo: LoadedModel) -> None:
    """Another architecture of the same width, in another dtype: what is written is the giver's state."""
    giver, taker = named("llama", demo, torch.bfloat16), named("gpt2", demo)
    scope = Patchscope(
        source=Source(prompt=(5, 6, 7), layer=2, model="giver"),
        target=Target(prompt=(8, 9, 10, 11), layer=1, position=1),
        max_tokens=4,
    )
    (outcome,) = inspect(lambda inspector: inspector.run([scope]), own=taker, giver=giver)
    (read,) = states(giver.model, giver.parts, [(5, 6, 7)], [2], pad=0)
    patch = Patch(1, 1, read[0, -1].float())
    request = Pass((8, 9, 10, 11), patches=(patch,), sampling=Sampling(4, 0))
    (row,) = generate(taker.model, taker.parts, [request], stop=taker.stop_tokens, pad=0)
    assert list(outcome.tokens) == row.tokens


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        (CORRECTION.model_copy(update={"target": HOP2.model_copy(update={"model": "big"})}), "'big' is not loaded"),
        (CORRECTION.model_copy(update={"mapping": "magic"}), "unknown mapping 'magic'"),
        (
            CORRECTION.model_copy(update={"source": HOP1.model_copy(update={"position": (0, 1)})}),
            "a span of 2 source tokens does not fit one of 1 target tokens",
        ),
        (CORRECTION.model_copy(update={"source": HOP1.model_copy(update={"layer": 7})}), "layer 7 is out of range"),
        (
            CORRECTION.model_copy(
                update={"mapping": "identity", "source": Source(prompt=(5,), layer=1, model="other")}
            ),
            "a state of shape (32,) does not fit the mapping 'identity': it takes states of width 128: fit a mapping",
        ),
    ],
)
def test_patchscopes_that_cannot_be_run(demo: LoadedModel, scope: Patchscope, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        inspect(lambda inspector: inspector.run([scope]), own=demo, other=named("llama", demo))
    assert says in str(raised.value)


def test_the_vocabulary_mapping_needs_one_vocabulary(demo: LoadedModel, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model = random_weights("llama")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="a")
    other = LoadedModel("other", demo.folder, model, tokenizer, Blocks.of(model))
    scope = CORRECTION.model_copy(update={"source": Source(prompt=(1,), layer=1, model="other")})
    with pytest.raises(InvalidInput, match="needs models with one vocabulary"):
        inspect(lambda inspector: inspector.run([scope]), own=demo, other=other)


def fitted_file(folder: Path, model: str) -> str:
    about = Fitted("ridge", "made by hand", model, model, 2, 0, pairs=1, explained=0.0)
    path = folder / "ridge.safetensors"
    save_mapping(Affine(about, weight=torch.eye(128), bias=torch.zeros(128)), path)
    return str(path)


def test_a_fitted_mapping_at_other_layers_is_noted(demo: LoadedModel, tmp_path: Path) -> None:
    """Its own layers say nothing; a single Patchscope and a grid both say which others were used."""
    scope = CORRECTION.model_copy(update={"mapping": fitted_file(tmp_path, demo.fingerprint)})
    own = scope.model_copy(update={"source": HOP1.model_copy(update={"layer": 2})})
    silent, noted = inspect(lambda inspector: inspector.run([own, scope]), own=demo)
    assert silent.notes == ()
    assert noted.notes == ("the mapping 'ridge' was fitted for source layer 2 and is used at layer 6",)


def test_a_mapping_fitted_for_another_model_is_refused(demo: LoadedModel, tmp_path: Path) -> None:
    name = fitted_file(tmp_path, "sha256:somebody else's")
    with pytest.raises(InvalidMapping, match="fitted for another source model"):
        inspect(lambda inspector: inspector.run([CORRECTION.model_copy(update={"mapping": name})]), own=demo)
    with pytest.raises(InvalidMapping, match="fitted for another source model"):
        Asked(demo)(lambda corrector: corrector.answer(QUESTION, choice=Choice(2, 0, name)))


def test_a_state_that_is_not_finite_says_so_and_spoils_no_other(demo: LoadedModel) -> None:
    broken = named("llama", demo)
    broken.model.model.layers[0].mlp.down_proj.weight.data[0, 0] = torch.inf
    source = Source(prompt=(5, 6, 7), layer=2, model="broken")
    scopes = [
        Patchscope(
            source=source.model_copy(update={"layer": layer}), target=Target(prompt=(8, 9), layer=1), max_tokens=2
        )
        for layer in (0, 2)
    ]
    fine, undefined = inspect(lambda inspector: inspector.run(scopes), own=named("llama", demo), broken=broken)
    assert fine.tokens
    assert (undefined.text, undefined.tokens) == ("", ())
    assert undefined.notes == ("a source state is not finite: load the model in float32 or bfloat16",)


def test_an_encoders_states_predict_no_token(demo: LoadedModel) -> None:
    scope = Patchscope(
        source=Source(prompt=(5, 6), layer=2),
        target=Target(prompt=(7, 8, 9), layer=0, position=1),
        mapping="vocabulary",
    )
    with pytest.raises(UnsupportedModel, match="the states of an encoder predict no token"):
        inspect(lambda inspector: inspector.run([scope]), own=named("t5", demo))
