"""An encoder-decoder (T5) and a recurrent model (Mamba) on the plain path, as source and as target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.forward import Row, generate, states
from correction.passes import Capture, Pass, Patch, Sampling
from tests.architectures import random_weights

PROMPTS = [(5, 6, 7, 8, 9), (11, 12, 13), (20, 21, 22, 23, 24, 25, 26, 27, 28)]
ALL = Sampling(max_tokens=1, top_logprobs=97)


def run(model: PreTrainedModel, *passes: Pass) -> list[Row]:
    return generate(model, Blocks.of(model), passes, stop=frozenset(), pad=0)


@torch.inference_mode()
def own(model: PreTrainedModel, prompt: tuple[int, ...], **more: object):  # type: ignore[no-untyped-def]
    if model.config.is_encoder_decoder:
        more["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
    return model(input_ids=torch.tensor([prompt]), output_hidden_states=True, **more)


def distribution(row: Row) -> Tensor:
    return torch.tensor([probability for _, probability in sorted(row.top[0])])


def test_states_are_the_models_own(unusual_model: PreTrainedModel) -> None:
    """T5's are its encoder's. Padding changes nothing."""
    for prompt, kept in zip(
        PROMPTS, states(unusual_model, Blocks.of(unusual_model), PROMPTS, [0, 1, 2], pad=0), strict=True
    ):
        output = own(unusual_model, prompt)
        hidden = getattr(output, "encoder_hidden_states", None) or output.hidden_states
        if not unusual_model.config.is_encoder_decoder:  # Mamba's list begins after the first block
            hidden = (unusual_model.get_input_embeddings()(torch.tensor([prompt])), *hidden)
        torch.testing.assert_close(kept, torch.cat(hidden[:3]), atol=1e-5, rtol=1e-4)


def test_unpatched_logits_are_the_models_own(unusual_model: PreTrainedModel) -> None:
    for prompt, row in zip(PROMPTS, run(unusual_model, *(Pass(p, sampling=ALL) for p in PROMPTS)), strict=True):
        expected = own(unusual_model, prompt).logits[0, -1].softmax(-1)
        torch.testing.assert_close(distribution(row), expected, atol=1e-5, rtol=1e-4)


def test_generation_is_the_models_own(unusual_model: PreTrainedModel) -> None:
    for prompt, row in zip(PROMPTS, run(unusual_model, *(Pass(p, sampling=Sampling(6)) for p in PROMPTS)), strict=True):
        made = unusual_model.generate(
            torch.tensor([prompt]),
            max_new_tokens=6,
            min_new_tokens=6,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
        )
        assert row.tokens == made[0, -6:].tolist()


def test_rows_that_end_leave_the_others_as_they_were(unusual_model: PreTrainedModel) -> None:
    passes = [Pass(PROMPTS[n % len(PROMPTS)], sampling=Sampling(most)) for n, most in enumerate((1, 9, 2, 4, 12))]
    for request, row in zip(passes, run(unusual_model, *passes), strict=True):
        (alone,) = run(unusual_model, request)
        assert row.tokens == alone.tokens


def test_the_no_op_patch_changes_no_probability(unusual_model: PreTrainedModel) -> None:
    for layer in range(4):
        clean, *_ = run(unusual_model, Pass(PROMPTS[0], (Capture(layer, 2),), sampling=ALL))
        patched, *_ = run(unusual_model, Pass(PROMPTS[0], patches=(Patch(layer, 2, clean.states[0][0]),), sampling=ALL))
        assert torch.equal(distribution(patched), distribution(clean))


def test_a_one_hot_embedding_at_layer_0_equals_writing_the_token(unusual_model: PreTrainedModel) -> None:
    class OneHot:
        name, widths, embeds = "one_hot", None, True

        def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
            return parts.embeddings()[torch.tensor([42])]

    written = (*PROMPTS[0][:2], 42, *PROMPTS[0][3:])
    patch = Patch(0, 2, torch.zeros(32), OneHot())
    patched, text = run(unusual_model, Pass(PROMPTS[0], patches=(patch,), sampling=ALL), Pass(written, sampling=ALL))
    torch.testing.assert_close(distribution(patched), distribution(text), atol=1e-6, rtol=1e-5)


def test_a_patch_speaks_in_every_later_layer(unusual_model: PreTrainedModel) -> None:
    clean, *_ = run(unusual_model, Pass(PROMPTS[0], sampling=ALL))
    state = torch.full((32,), 0.5)
    for layer in range(3):
        patched, *_ = run(unusual_model, Pass(PROMPTS[0], patches=(Patch(layer, 2, state),), sampling=ALL))
        assert not torch.allclose(distribution(patched), distribution(clean), atol=1e-3)


@pytest.mark.parametrize(("source", "target"), [("mamba", "llama"), ("llama", "mamba"), ("t5", "gpt2"), ("gpt2", "t5")])
def test_states_cross_between_architectures(source: str, target: str) -> None:
    """The whole state of one architecture's token speaks in another's pass: the paper's open question can be asked."""
    giver, taker = random_weights(source), random_weights(target)
    said = set()
    for prompt in PROMPTS:
        (state,) = states(giver, Blocks.of(giver), [prompt], [2], pad=0)
        patch = Patch(1, 1, state[0, -1], origin=Blocks.of(giver))
        (row,) = run(taker, Pass(PROMPTS[2], patches=(patch,), sampling=ALL))
        assert row.patched == 1
        said.add(tuple(row.top[0][0]))
    assert len(said) == len(PROMPTS)
