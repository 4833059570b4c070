"""A prompt's own log-probabilities against the model's own full forward, on real architectures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from correction import scoring
from correction.architecture import Blocks
from correction.errors import InvalidInput, UnsupportedModel
from correction.forward import Row, generate
from correction.passes import Pass, Patch, Sampling
from tests.architectures import random_weights

PROMPTS = [(5, 6, 7, 8, 9), (11, 12, 13), (20, 21, 22, 23, 24, 25, 26, 27, 28), (42,)]
SCORED = Sampling(max_tokens=1, prompt_logprobs=3, lines=False)


def run(model: PreTrainedModel, *passes: Pass) -> list[Row]:
    return generate(model, Blocks.of(model), passes, stop=frozenset(), pad=0)


@torch.inference_mode()
def own_logprobs(model: PreTrainedModel, prompt: tuple[int, ...]) -> Tensor:
    """Of every next token after every position, (tokens, vocabulary)."""
    return model(input_ids=torch.tensor([prompt])).logits[0].float().log_softmax(-1)


def assert_scored(model: PreTrainedModel, prompt: tuple[int, ...], row: Row, top: int = 3) -> None:
    own = own_logprobs(model, prompt)
    assert [token for token, _, _ in row.prompt] == list(prompt[1:])
    for position, (token, logprob, likeliest) in enumerate(row.prompt):
        assert logprob == pytest.approx(own[position, token].item(), abs=1e-4)
        best = own[position].exp().topk(top)
        assert [probability for _, probability in likeliest] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_a_prompt_is_scored_as_the_model_itself_finds_it(random_model: PreTrainedModel) -> None:
    """Left-padded prompts, beside one that is not scored; also where logits are capped or scaled."""
    beside = Pass((9,) * 12, sampling=Sampling(max_tokens=3))
    *rows, last = run(random_model, *(Pass(prompt, sampling=SCORED) for prompt in PROMPTS), beside)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        assert_scored(random_model, prompt, row)
        assert len(row.tokens) == 1
    assert last.prompt == []


def test_a_long_prompt_is_scored_a_few_positions_at_a_time(
    random_model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "MOST_LOGITS", 2 * 97)
    (row,) = run(random_model, Pass(PROMPTS[2], sampling=SCORED))
    assert_scored(random_model, PROMPTS[2], row)


def test_a_prompt_can_be_scored_and_nothing_generated(random_model: PreTrainedModel) -> None:
    (row,) = run(random_model, Pass(PROMPTS[0], sampling=Sampling(0, 0, prompt_logprobs=0)))
    assert_scored(random_model, PROMPTS[0], row, top=0)
    assert (row.tokens, row.top, row.stopped) == ([], [], False)


def test_what_is_patched_is_scored_as_patched(random_model: PreTrainedModel) -> None:
    request = Pass(PROMPTS[0], patches=(Patch(1, 1, torch.ones(32)),), sampling=SCORED)
    plain, patched = run(random_model, replace(request, patches=()), request)
    differ = [a[1] != pytest.approx(b[1], abs=1e-4) for a, b in zip(plain.prompt, patched.prompt, strict=True)]
    assert differ == [False, True, True, True]  # the state at position 1 is what predicts the second of these


def test_recurrent_models_are_scored_too() -> None:
    mamba = random_weights("mamba")
    rows = run(mamba, *(Pass(prompt, sampling=SCORED) for prompt in PROMPTS[:3]))
    for prompt, row in zip(PROMPTS, rows, strict=False):
        assert_scored(mamba, prompt, row)


def test_an_encoder_predicts_no_prompt() -> None:
    with pytest.raises(UnsupportedModel, match="predict no token"):
        run(random_weights("t5"), Pass(PROMPTS[0], sampling=SCORED))


def test_a_head_that_is_not_known_is_refused_not_guessed() -> None:
    model = random_weights("gemma2")
    uncapped = replace(Blocks.of(model), logit_scale=3.0)
    with pytest.raises(InvalidInput, match="prompts cannot be scored"):
        generate(model, uncapped, [Pass(PROMPTS[0], sampling=SCORED)], stop=frozenset(), pad=0)
