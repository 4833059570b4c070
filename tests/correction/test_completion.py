"""Completions as text, on the custom forward: pieces, stop strings, echo, log-probabilities, giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig

from correction.architecture import Blocks
from correction.completion import Piece, Wanted, complete, stream
from correction.engines import HFEngine
from correction.errors import InvalidInput
from correction.models import LoadedModel
from tests.tokenizers import bytes_alone, bytes_as_a_last_resort

LIVELY = 3.0  # a temperature at which the demo model says something else at every seed


@pytest.fixture(scope="module", params=["demo", "bytes", "fallback"])
def loaded(request: pytest.FixtureRequest, demo: LoadedModel) -> LoadedModel:
    """The demo model, and random weights with tokenizers of the other kinds. Nothing but the length ends their text."""
    made = replace(demo)
    if request.param != "demo":
        tokenizer = {"bytes": bytes_alone, "fallback": bytes_as_a_last_resort}[request.param]()
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        torch.manual_seed(0)
        model = type(demo.model)(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape)).eval()
        made = LoadedModel("random", demo.folder, model, tokenizer, Blocks.of(model))
    vars(made)["end_tokens"] = frozenset()
    return made


def prompt(loaded: LoadedModel, text: str = "The cap") -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text)["input_ids"])


def streamed(loaded: LoadedModel, wanted: Wanted) -> list[Piece]:
    async def go() -> list[Piece]:
        engine = HFEngine(loaded)
        try:
            return [piece async for piece in stream(loaded, engine, wanted)]
        finally:
            await engine.close()

    return asyncio.run(go())


def completed(loaded: LoadedModel, *wanted: Wanted) -> list[Piece]:
    async def go() -> list[Piece]:
        engine = HFEngine(loaded)
        try:
            return list(await asyncio.gather(*(complete(loaded, engine, one) for one in wanted)))
        finally:
            await engine.close()

    return asyncio.run(go())


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_what_the_tokens_say(loaded: LoadedModel, seed: int) -> None:
    wanted = Wanted(prompt(loaded), 40, temperature=1.0, seed=seed, logprobs=0)
    pieces = streamed(loaded, wanted)
    tokens = [token for piece in pieces for token in piece.tokens]
    assert len(tokens) == pieces[-1].completion_tokens == 40
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert "".join(token.text for token in tokens) == text_of(pieces)
    given = 0
    for piece in pieces:  # a token comes once its text is out
        given += len(piece.text) - sum(len(token.text) for token in piece.tokens)
        assert given >= 0
    assert completed(loaded, wanted) == [Piece(text_of(pieces), tuple(tokens), "length", 40)]


def test_the_text_goes_on_where_the_prompt_ends(demo: LoadedModel) -> None:
    (piece,) = completed(demo, Wanted(prompt(demo, "The capital of France is"), 16))
    assert (piece.text, piece.finish_reason, piece.completion_tokens, piece.tokens) == (" Paris", "stop", 2, ())


def test_a_line_break_does_not_end_it(loaded: LoadedModel) -> None:
    wanted = Wanted(prompt(loaded), 60, temperature=LIVELY, logprobs=0)
    pieces = completed(loaded, *(replace(wanted, seed=seed) for seed in range(30)))
    assert {piece.completion_tokens for piece in pieces} == {60}
    said = {token.token for piece in pieces for token in piece.tokens}
    assert loaded.name == "demo" or any("\n" in loaded.text([token]) for token in said)


@pytest.mark.parametrize("seed", range(6))
def test_a_stop_string_ends_the_text_before_it(loaded: LoadedModel, seed: int) -> None:
    """Wherever it stands in the text, across tokens or within one; what it could have been comes out in the end."""
    wanted = Wanted(prompt(loaded), 30, temperature=1.0, seed=seed, logprobs=1)
    (whole,) = completed(loaded, wanted)
    for begin in range(2, len(whole.text) - 3, 5):
        stop = whole.text[begin : begin + 3]
        expected = whole.text[: whole.text.index(stop)]
        pieces = streamed(loaded, replace(wanted, stop=(stop, "never said", "")))
        assert (text_of(pieces), pieces[-1].finish_reason) == (expected, "stop")
        assert "".join(token.text for piece in pieces for token in piece.tokens) == expected
        assert pieces[-1].completion_tokens <= whole.completion_tokens
    almost = whole.text[-2:] + "and more"
    (held,) = completed(loaded, replace(wanted, stop=(almost,)))
    assert held == whole


def test_the_first_of_several_stop_strings_counts(demo: LoadedModel) -> None:
    (piece,) = completed(demo, Wanted(prompt(demo, "The capital of France is"), 16, stop=("is", "ari", "P", "Pa")))
    assert (piece.text, piece.finish_reason) == (" ", "stop")


def test_a_stop_string_abandons_the_pass(loaded: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(loaded)
        wanted = Wanted(prompt(loaded), 200, temperature=1.0, seed=1)
        text = (await complete(loaded, engine, replace(wanted, max_tokens=8))).text
        piece = await complete(loaded, engine, replace(wanted, stop=(text[:2],)))
        assert (piece.text, piece.finish_reason) == ("", "stop")
        before = engine.model_seconds
        await asyncio.sleep(0.05)
        spent = engine.model_seconds
        await asyncio.sleep(0.05)
        assert engine.model_seconds == spent >= before
        await engine.close()

    asyncio.run(go())


def test_closing_the_stream_abandons_the_pass(loaded: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(loaded)
        async with aclosing(stream(loaded, engine, Wanted(prompt(loaded), 200, temperature=1.0, seed=1))) as pieces:
            async for piece in pieces:
                assert piece.completion_tokens < 200
                break
        assert len(asyncio.all_tasks()) == 1
        await engine.close()

    asyncio.run(go())


def test_a_pass_that_cannot_run_says_so_in_the_stream(demo: LoadedModel) -> None:
    with pytest.raises(InvalidInput, match="top_p is 0"):
        streamed(demo, Wanted(prompt(demo), 4, top_p=0))


def test_echo_gives_the_prompt_first(demo: LoadedModel) -> None:
    wanted = Wanted(prompt(demo, "The capital of France is"), 16, echo=True)
    pieces = streamed(demo, wanted)
    assert pieces[0] == Piece("The capital of France is")
    assert text_of(pieces) == "The capital of France is Paris"


@pytest.mark.parametrize("text", ["The capital of France is", "naïve 東京 👩‍👩‍👧", "cap of\nline"])
@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_echo_is_scored_as_the_model_itself_finds_it(loaded: LoadedModel, text: str, max_tokens: int) -> None:
    ids = prompt(loaded, text)
    (piece,) = completed(loaded, Wanted(ids, max_tokens, logprobs=2, echo=True))
    with torch.inference_mode():
        own = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    assert [token.token for token in piece.tokens[: len(ids)]] == [*ids]
    assert len(piece.tokens) == len(ids) + max_tokens == len(ids) + piece.completion_tokens
    assert "".join(token.text for token in piece.tokens) == piece.text
    assert "".join(token.text for token in piece.tokens[: len(ids)]) == loaded.text(ids)
    assert (piece.tokens[0].logprob, piece.tokens[0].top) == (None, ())
    for position, token in enumerate(piece.tokens[1:]):
        assert token.logprob == pytest.approx(own[position, token.token].item(), abs=1e-4)
        best = own[position].topk(2)
        assert [logprob for _, logprob in token.top] == pytest.approx(best.values.tolist(), abs=1e-3)
        if best.indices[0] == token.token:
            assert token.top[0] == (token.text, token.logprob)


def test_special_tokens_are_tokens_without_text(demo: LoadedModel) -> None:
    ids = prompt(demo, "The capital of France is")
    (piece,) = completed(demo, Wanted((*ids[:3], demo.tokenizer.bos_token_id, *ids[3:]), 0, logprobs=0, echo=True))
    assert [token.text for token in piece.tokens] == ["", "The", " capital", "", " of", " France", " is"]
    assert piece.text == "The capital of France is"


@pytest.mark.parametrize("echo", [False, True])
def test_the_end_of_sequence_is_the_last_token_and_has_no_text(demo: LoadedModel, echo: bool) -> None:
    ids = prompt(demo, "The capital of France is Paris")
    (piece,) = completed(demo, Wanted(ids, 1, logprobs=2, echo=echo))
    end = piece.tokens[-1]
    assert (piece.finish_reason, piece.completion_tokens) == ("stop", 0)
    assert len(piece.tokens) == (len(ids) if echo else 0) + 1
    assert (end.token, end.text, len(end.top)) == (demo.tokenizer.eos_token_id, "", 2)
    assert end.logprob == end.top[0][1]


def test_alternatives_are_written_as_the_token_would_be(demo: LoadedModel) -> None:
    (piece,) = completed(demo, Wanted(prompt(demo, "The capital of France is"), 1, logprobs=5))
    (token,) = piece.tokens
    assert token.text == token.top[0][0] == " Par"
    assert all(text.startswith(" ") for text, _ in token.top if text[1:2].isupper())


def test_a_stop_string_ends_an_echoed_completion_too(demo: LoadedModel) -> None:
    wanted = Wanted(prompt(demo, "The capital of France is"), 16, logprobs=0, echo=True, stop=("is",))
    (piece,) = completed(demo, wanted)
    assert (piece.text, piece.finish_reason) == ("The capital of France is Par", "stop")
    assert piece.tokens[-1].text == " Par"


def test_seeds_repeat_and_do_not_depend_on_what_runs_beside(loaded: LoadedModel) -> None:
    wanted = Wanted(prompt(loaded), 12, temperature=LIVELY, seed=7)
    (alone,) = completed(loaded, wanted)
    beside = [replace(wanted, seed=seed) for seed in range(3)]
    again, *others = completed(loaded, wanted, *beside)
    assert again == alone
    assert len({piece.text for piece in (alone, *others)}) == 4
