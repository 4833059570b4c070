"""States of two models at the same places of a text, and a mapping fitted on them, patched from one into the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast

from correction.architecture import Blocks
from correction.errors import InvalidInput
from correction.forward import generate
from correction.mappings import fit
from correction.mappings.pairs import places, state_pairs
from correction.models import LoadedModel
from correction.passes import Capture, Pass, Patch, Sampling, check_pass

TEXTS = ["The country where Kyoto lies", "Ōsaka is in Japan.", "A cat, a dog", "x", ""] * 4


def loaded(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> LoadedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    model.tie_weights()
    return LoadedModel(config.model_type, Path(), model, tokenizer, Blocks.of(model))


def tokenizer(pieces: list[str]) -> PreTrainedTokenizerFast:
    """Bytes, and the pieces merged from two bytes each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(piece[0], piece[1]) for piece in pieces]
    vocabulary = {token: number for number, token in enumerate(["<end>", *alphabet, *pieces])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="module")
def small() -> LoadedModel:
    """A Llama of width 32 that reads bytes."""
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    return loaded(config, tokenizer([]))


@pytest.fixture(scope="module")
def large() -> LoadedModel:
    """A GPT-2 of width 48 that reads some pairs of bytes as one token."""
    config = GPT2Config(vocab_size=270, n_embd=48, n_layer=2, n_head=4, n_positions=24, bos_token_id=0, eos_token_id=0)
    return loaded(config, tokenizer(["th", "he", "to", "an", "ap"]))


def test_one_tokenizer_gives_every_place_but_the_first(small: LoadedModel) -> None:
    found = places(small, small, "Kyoto lies")
    assert found.source_positions == found.target_positions == tuple(range(1, 10))


def test_two_models_of_one_tokenizer_too(small: LoadedModel) -> None:
    twin = replace(small, tokenizer=tokenizer([]))
    assert places(small, twin, "Kyoto lies") == places(small, small, "Kyoto lies")


def test_the_first_token_never_counts(small: LoadedModel, large: LoadedModel) -> None:
    assert places(small, large, "x").source_positions == ()
    assert places(small, large, "x y").source_positions == (2,)
    assert places(small, large, "an x").target_positions == (2,)  # "an" is the larger's first token


def test_two_tokenizers_meet_at_the_last_tokens_of_words(small: LoadedModel, large: LoadedModel) -> None:
    found = places(small, large, "Kyoto lies in Japan.")
    assert [small.decode(found.source[: at + 1]) for at in found.source_positions] == [
        "Kyoto",
        "Kyoto lies",
        "Kyoto lies in",
        "Kyoto lies in Japan",
        "Kyoto lies in Japan.",
    ]
    assert [large.decode(found.target[: at + 1]) for at in found.target_positions] == [
        small.decode(found.source[: at + 1]) for at in found.source_positions
    ]
    assert found.source_positions != found.target_positions


def test_a_character_of_several_tokens_counts_when_it_is_whole(small: LoadedModel, large: LoadedModel) -> None:
    found = places(small, large, "a ō")
    assert [small.decode(found.source[: at + 1]) for at in found.source_positions] == ["a ō"]


def test_what_a_context_cannot_hold_is_left_out(small: LoadedModel, large: LoadedModel) -> None:
    found = places(small, large, "word " * 30)
    assert len(found.source) == 64
    assert len(found.target) == 24
    assert len(found.source_positions) == 5


def test_the_states_are_those_of_the_models(small: LoadedModel, large: LoadedModel) -> None:
    batches = list(state_pairs(small, large, TEXTS, 2, 1, batch=3))
    sources, targets = (torch.cat(side) for side in zip(*batches, strict=True))
    row = 0
    for text in TEXTS:
        found = places(small, large, text)
        for of, tokens, positions, layer, side in (
            (small, found.source, found.source_positions, 2, sources),
            (large, found.target, found.target_positions, 1, targets),
        ):
            if positions:
                with torch.inference_mode():
                    own = of.model(input_ids=torch.tensor([tokens]), output_hidden_states=True).hidden_states[layer][0]
                torch.testing.assert_close(side[row : row + len(positions)], own[list(positions)], atol=1e-4, rtol=1e-4)
        row += len(found.source_positions)
    assert row == len(sources) == len(targets) > 30


def test_one_model_gives_both_layers(small: LoadedModel) -> None:
    ((source, target),) = state_pairs(small, small, TEXTS[:2], 1, 3)
    ((same, _),) = state_pairs(small, small, TEXTS[:2], 1, 1)
    ((deep, _),) = state_pairs(small, small, TEXTS[:2], 3, 3)
    torch.testing.assert_close(source, same)
    torch.testing.assert_close(target, deep)


@pytest.mark.parametrize(("layers", "says"), [((4, 0), "source layer 4"), ((0, 3), "target layer 3")])
def test_a_layer_that_is_not_there(small: LoadedModel, large: LoadedModel, layers: tuple[int, int], says: str) -> None:
    with pytest.raises(InvalidInput, match=f"{says} is out of range"):
        next(state_pairs(small, large, TEXTS, *layers))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fitted_mapping_is_patched_across_widths_and_architectures(
    small: LoadedModel, large: LoadedModel, dtype: torch.dtype
) -> None:
    """What the target model then says is what it says with the mapped state written by hand."""
    mapping = fit(
        "ridge",
        lambda: state_pairs(small, large, TEXTS, 2, 1),
        source_model="small",
        target_model="large",
        source_layer=2,
        target_layer=1,
    )
    read = Pass((5, 6, 7), (Capture(2, -1),), sampling=Sampling(0))
    (row,) = generate(small.model, small.parts, [read], stop=frozenset(), pad=0)
    state = row.states[0][0]
    target = large.model.to(dtype)
    try:
        patched = Pass((8, 9, 10), patches=(Patch(1, 1, state, mapping, small.parts),), sampling=Sampling(1, 99))
        check_pass(patched, large.shape, large.context)
        by_hand = Pass((8, 9, 10), patches=(Patch(1, 1, mapping.apply(state.to(dtype).float()[None])[0]),))
        clean = Pass((8, 9, 10), sampling=Sampling(1, 99))
        tops = [
            generate(target, Blocks.of(target), [p], stop=frozenset(), pad=0)[0].top[0]
            for p in (patched, Pass(by_hand.prompt, patches=by_hand.patches, sampling=Sampling(1, 99)), clean)
        ]
    finally:
        large.model.to(torch.float32)
    assert tops[0] == tops[1] != tops[2]


def test_a_state_of_another_width_is_refused(large: LoadedModel) -> None:
    mapping = fit(
        "procrustes",
        lambda: [(torch.randn(9, 32, generator=torch.Generator().manual_seed(n)),) * 2 for n in range(2)],
        source_model="small",
        target_model="small",
        source_layer=2,
        target_layer=1,
    )
    with pytest.raises(InvalidInput, match="gives states of width 32"):
        check_pass(Pass((8, 9), patches=(Patch(1, 1, torch.zeros(32), mapping),)), large.shape, large.context)
