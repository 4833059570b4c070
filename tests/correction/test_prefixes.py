"""Beginnings that are run once: a batch that reuses them equals one that runs everything, on every architecture."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.forward import Batch, Row
from correction.passes import Capture, Pass, Patch, Sampling
from correction.prefixes import MOST, Prefixes
from tests.architectures import random_weights

LONG, OTHER = tuple(range(5, 17)), tuple(range(30, 40))
READ = Sampling(max_tokens=4, top_logprobs=97)


def passes(width: int) -> list[Pass]:
    """Two that begin alike, one that begins otherwise, one with nothing shared, one patched before its own part."""
    state = torch.randn(width, generator=torch.Generator().manual_seed(1))
    return [
        Pass((*LONG, 41, 42, 43), (Capture(1, -1, follow=True), Capture(2, len(LONG))), sampling=READ),
        Pass((*LONG, 44), patches=(Patch(1, -1, state),), sampling=READ),
        Pass((*OTHER, 51, 52), sampling=READ),
        Pass((61, 62, 63), sampling=READ),
        Pass((*LONG, 45, 46), patches=(Patch(1, 3, state),), sampling=READ),
    ]


def run(model: PreTrainedModel, given: list[Pass], prefixes: Prefixes | None) -> list[Row]:
    batch = Batch(model, Blocks.of(model), given, stops=lambda sampling: frozenset(), pad=0, prefixes=prefixes)
    while batch.running:
        batch.step()
    return batch.rows


def test_reused_beginnings_change_nothing(random_model: PreTrainedModel) -> None:
    given = passes(random_model.config.hidden_size)
    prefixes = Prefixes(random_model)
    prefixes.share([LONG, OTHER])
    plain = run(random_model, given, None)
    for _ in range(2):  # run for the first time, then kept
        for one, other in zip(run(random_model, given, prefixes), plain, strict=True):
            assert one.tokens == other.tokens
            assert one.patched == other.patched
            torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=1e-4, rtol=1e-4)
            for states, expected in zip(one.states, other.states, strict=True):
                torch.testing.assert_close(torch.stack(states), torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_states_alone_are_read_behind_a_beginning(random_model: PreTrainedModel) -> None:
    only = [Pass((*LONG, 41, 42), (Capture(1),), sampling=Sampling(0, 0))]
    prefixes = Prefixes(random_model)
    prefixes.share([LONG])
    (one,), (other,) = run(random_model, only, prefixes), run(random_model, only, None)
    torch.testing.assert_close(one.states[0][0], other.states[0][0], atol=1e-4, rtol=1e-4)


def test_a_beginning_is_run_once(llama: PreTrainedModel) -> None:
    prefixes = Prefixes(llama)
    prefixes.share([LONG, OTHER, (1, 2)])
    first = prefixes.begun(Pass((*LONG, 41)))
    assert first is not None
    assert first.length == len(LONG)
    assert prefixes.begun(Pass((*LONG, 99 % 97))) is first
    assert prefixes.begun(Pass(LONG)) is None  # it would have no token of its own
    assert prefixes.begun(Pass((*LONG, 41), (Capture(1, 0),))) is None  # its state is wanted
    assert prefixes.begun(Pass((1, 2, 3))) is None  # too short to be worth it


def test_few_are_kept(llama: PreTrainedModel) -> None:
    prefixes = Prefixes(llama)
    many = [tuple(range(start, start + 10)) for start in range(MOST + 1)]
    prefixes.share(many)
    assert prefixes.begun(Pass((*many[0], 50))) is None
    assert prefixes.begun(Pass((*many[-1], 50))) is not None


@pytest.fixture
def llama() -> PreTrainedModel:
    return random_weights("llama")
