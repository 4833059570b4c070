"""Early exit: blocks beyond a layer are left out in every step, on real architectures."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.errors import InvalidInput
from correction.forward import generate
from correction.models import LoadedModel
from correction.passes import Capture, Pass, Patch, Sampling
from correction.prompts import Prompts
from tests.conftest import Asked

PROMPTS = [(5, 6, 7, 8, 9), (11, 12, 13), (20, 21, 22, 23, 24, 25, 26, 27, 28)]


def said(model: PreTrainedModel, *passes: Pass) -> list[list[int]]:
    return [row.tokens for row in generate(model, Blocks.of(model), passes, stop=frozenset(), pad=0)]


def test_exiting_at_the_last_layer_changes_nothing(random_model: PreTrainedModel) -> None:
    sampling = Sampling(4, 0)
    depth = Blocks.of(random_model).depth
    plain = said(random_model, *(Pass(p, sampling=sampling) for p in PROMPTS))
    assert said(random_model, *(Pass(p, sampling=sampling, exit=depth) for p in PROMPTS)) == plain


def test_a_step_that_exits_early_says_what_the_lens_reads_there(random_model: PreTrainedModel) -> None:
    """Generated with the later blocks left out, one token at a time; read with all of them there, in one go."""
    parts = Blocks.of(random_model)
    for layer in range(1, parts.depth):
        exits = said(random_model, *(Pass(p, sampling=Sampling(4, 0), exit=layer) for p in PROMPTS))
        for prompt, tokens in zip(PROMPTS, exits, strict=True):
            whole = (*prompt, *tokens[:-1])
            captures = tuple(Capture(layer, position) for position in range(len(prompt) - 1, len(whole)))
            (row,) = generate(
                random_model, parts, [Pass(whole, captures, sampling=Sampling(0, 0))], stop=frozenset(), pad=0
            )
            with torch.inference_mode():
                read = parts.predict(torch.stack([state[0] for state in row.states])).argmax(-1)
            assert read.tolist() == tokens


def test_all_blocks_are_back_afterwards(random_model: PreTrainedModel) -> None:
    before = said(random_model, Pass(PROMPTS[0], sampling=Sampling(4, 0)))
    said(random_model, Pass(PROMPTS[0], sampling=Sampling(4, 0), exit=1))
    assert said(random_model, Pass(PROMPTS[0], sampling=Sampling(4, 0))) == before


def test_passes_that_exit_elsewhere_share_a_queue_but_no_batch(demo: LoadedModel) -> None:
    prompt = Prompts(demo.tokenizer).encode("The country where Kruger National Park is located is")
    passes = [Pass(prompt, (Capture(2),), exit=exit) for exit in (2, None, 3, 2, None)]
    together = Asked(demo).run(passes)
    for request, result in zip(passes, together, strict=True):
        (alone,) = Asked(demo).run([request])
        assert (alone.tokens, alone.text) == (result.tokens, result.text) == (result.tokens, "South Africa")
    assert together[0].logprobs != together[1].logprobs


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Pass((5, 6), exit=0), "cannot exit at layer 0: choose one of 1 to 6"),
        (Pass((5, 6), exit=7), "cannot exit at layer 7"),
        (Pass((5, 6), (Capture(4),), exit=3), "layer 4 is not reached when the pass exits at layer 3"),
        (Pass((5, 6), patches=(Patch(4, 1, torch.zeros(128)),), exit=3), "layer 4 is not reached"),
    ],
)
def test_what_an_exit_does_not_reach_is_refused(demo: LoadedModel, request_: Pass, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Asked(demo).run([request_])


def test_every_step_has_its_alternatives_the_last_one_too(demo: LoadedModel) -> None:
    prompt = Prompts(demo.tokenizer).encode("The birthplace of Charles Dickens is")
    (result,) = Asked(demo).run([Pass(prompt, sampling=Sampling(16, 3))])
    assert len(result.steps) == len(result.tokens) + 1
    assert all(len(step) == 3 for step in result.steps)
    assert [step[0].token for step in result.steps[:-1]] == list(result.tokens)
    assert result.steps[-1][0].token in demo.stop_tokens
    assert result.stop_logprob == pytest.approx(torch.tensor(result.steps[-1][0].probability).log().item(), abs=1e-5)


def test_a_lens_reads_what_an_earlier_layer_makes_of_the_first_token(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    layer = parts.depth - 1
    rows = generate(
        random_model, parts, [Pass(p, sampling=Sampling(2, 0), lens=layer) for p in PROMPTS], stop=frozenset(), pad=0
    )
    for prompt, row in zip(PROMPTS, rows, strict=True):
        (read,) = generate(
            random_model, parts, [Pass(prompt, (Capture(layer),), sampling=Sampling(0, 0))], stop=frozenset(), pad=0
        )
        with torch.inference_mode():
            expected = parts.predict(read.states[0][0]).float().softmax(-1)[row.tokens[0]].item()
        assert row.lens == pytest.approx(expected, rel=1e-3)
