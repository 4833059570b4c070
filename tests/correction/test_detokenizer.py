"""Text token by token: together it is the text of all tokens, and no character comes in halves."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from correction.detokenizer import Detokenizer
from correction.models import LoadedModel
from tests.tokenizers import bytes_alone, bytes_as_a_last_resort

TEXTS = [
    "The capital of France is Paris.",
    "naïve café, œuvre",
    "日本の首都は東京です。",
    "👩‍👩‍👧 family 🇿🇦",
    "  two  spaces, a tab\t and\na line ",
]


@pytest.fixture(params=["demo", "bytes", "fallback"])
def loaded(request: pytest.FixtureRequest, demo: LoadedModel) -> LoadedModel:
    """The demo model with its own tokenizer, and with two others."""
    made = {"bytes": bytes_alone, "fallback": bytes_as_a_last_resort}
    return replace(demo, tokenizer=made[request.param]()) if request.param in made else demo


def ids(loaded: LoadedModel, text: str) -> list[int]:
    return list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_together_are_the_text(loaded: LoadedModel, text: str) -> None:
    tokens = ids(loaded, text)
    detokenizer = Detokenizer(loaded)
    pieces = [detokenizer.add(token) for token in tokens]
    assert "".join(pieces) + detokenizer.rest() == loaded.text(tokens)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@pytest.mark.parametrize("text", TEXTS)
def test_what_follows_a_text_has_its_leading_space(loaded: LoadedModel, text: str) -> None:
    before = ids(loaded, "The cap")
    after = ids(loaded, f"The cap {text}")[len(before) :]
    detokenizer = Detokenizer(loaded, before)
    said = "".join(map(detokenizer.add, after)) + detokenizer.rest()
    assert loaded.text(before) + said == loaded.text([*before, *after])


@pytest.mark.parametrize("seed", range(10))
def test_any_tokens_at_all_give_the_text_of_all(loaded: LoadedModel, seed: int) -> None:
    """Special tokens in between, an end in the middle of a character; bytes that are no characters, where a decoder
    does not take back what it has said of those before them, as one with byte fallback does."""
    pieces = loaded.tokenizer.convert_ids_to_tokens(list(range(len(loaded.tokenizer))))
    tokens = random.Random(seed).choices([n for n, piece in enumerate(pieces) if not piece.startswith("<0x")], k=60)
    detokenizer = Detokenizer(loaded)
    said = "".join(map(detokenizer.add, tokens)) + detokenizer.rest()
    assert said == loaded.text(tokens)


def test_bytes_that_are_no_text_do_no_harm(loaded: LoadedModel) -> None:
    detokenizer = Detokenizer(loaded)
    for token in random.Random(1).choices(range(len(loaded.tokenizer)), k=300):
        detokenizer.add(token)
    after = "".join(map(detokenizer.add, ids(loaded, "and so on")))
    assert after.endswith("and so on")


def test_an_unfinished_character_is_said_when_nothing_follows(demo: LoadedModel) -> None:
    loaded = replace(demo, tokenizer=bytes_alone())
    detokenizer = Detokenizer(loaded)
    assert [detokenizer.add(token) for token in ids(loaded, "é")[:1]] == [""]
    assert detokenizer.rest() == "\N{REPLACEMENT CHARACTER}"
    assert detokenizer.rest() == ""
