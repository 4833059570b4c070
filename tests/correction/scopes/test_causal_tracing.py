"""Causal tracing: no noise has no effect, and restoring everything restores the answer."""

from __future__ import annotations

import asyncio

import pytest

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.mappings import mapping_named
from correction.scopes import Request
from correction.scopes.causal_tracing import subject_of, traced
from tests.correction.scopes.conftest import HOP1, Look

SUBJECT = "Kruger National Park"
REQUEST = Request(prompts=(HOP1,), position=SUBJECT)


def test_no_noise_has_no_effect(look: Look) -> None:
    table = look("causal-tracing", HOP1, position=SUBJECT, noise=0.0, layers=[0, 3, 6])
    assert all(abs(cell.value) < 1e-4 for row in table.cells for cell in row if cell and cell.value is not None)


def test_noise_takes_the_answer_and_restoring_gives_it_back(inspector: Inspector) -> None:
    subject = subject_of(inspector.host(None).loaded, REQUEST)
    last = len(inspector.host(None).loaded.tokenizer(HOP1)["input_ids"]) - 1
    restored = [[], [(0, place) for place in subject], [(6, last)], [(3, last)]]
    _, clean, (corrupted, embeddings, end, _) = asyncio.run(traced(inspector, REQUEST, restored))
    assert clean > 0.9
    assert corrupted < 0.1
    assert embeddings == pytest.approx(clean, abs=1e-4)
    assert end == pytest.approx(clean, abs=1e-4)


def test_the_table_starts_at_the_subject_and_names_the_answer(look: Look) -> None:
    table = look("causal-tracing", HOP1, position=SUBJECT, layers=[1, 6])
    assert "".join(table.columns.labels[:2]) == "Kruger"
    assert "South Africa" in table.title
    assert "'Kruger National Park'" in table.notes[0]
    assert table.cells == look("causal-tracing", HOP1, position=SUBJECT, layers=[1, 6], seed=0).cells
    assert table.cells != look("causal-tracing", HOP1, position=SUBJECT, layers=[1, 6], seed=1).cells


def test_the_subject_must_be_there(look: Look) -> None:
    with pytest.raises(InvalidInput, match="'Yellowstone' does not occur"):
        look("causal-tracing", HOP1, position="Yellowstone")


def test_added_adds(inspector: Inspector) -> None:
    import torch

    parts = inspector.host(None).loaded.parts
    assert mapping_named("added")(torch.ones(2, 3), torch.full((2, 3), 2.0), parts, parts).tolist() == [[3.0] * 3] * 2
