"""The custom forward against the model's own: captures, patches, batches, on real architectures."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel

from correction.architecture import Blocks
from correction.errors import EngineUnavailable, PatchNotApplied, UnsupportedModel
from correction.forward import Batch, Row, generate
from correction.mappings import TOKEN, mapping_named
from correction.passes import Capture, Pass, Patch, Sampling

PROMPTS = [(5, 6, 7, 8, 9), (11, 12, 13), (20, 21, 22, 23, 24, 25, 26, 27, 28)]
ALL = Sampling(max_tokens=1, top_logprobs=97)


def run(model: PreTrainedModel, *passes: Pass) -> list[Row]:
    return generate(model, Blocks.of(model), passes, stop=frozenset(), pad=0)


def distribution(row: Row) -> Tensor:
    """Probabilities of the first token, by id."""
    return torch.tensor([probability for _, probability in sorted(row.top[0])])


@torch.inference_mode()
def plain_logits(model: PreTrainedModel, prompt: tuple[int, ...]) -> Tensor:
    return model(input_ids=torch.tensor([prompt])).logits[0, -1]


def test_captures_equal_the_models_own_hidden_states(random_model: PreTrainedModel) -> None:
    depth = Blocks.of(random_model).depth
    captures = tuple(Capture(layer, position) for layer in range(depth) for position in (0, 2, -1))
    rows = run(random_model, *(Pass(p, captures, sampling=ALL) for p in PROMPTS))
    for prompt, row in zip(PROMPTS, rows, strict=True):
        with torch.inference_mode():
            own = random_model(input_ids=torch.tensor([prompt]), output_hidden_states=True).hidden_states
        for capture, (state,) in zip(captures, row.states, strict=True):
            torch.testing.assert_close(state, own[capture.layer][0, capture.position], atol=1e-4, rtol=1e-4)


def test_the_state_at_the_last_layer_is_what_the_final_norm_receives(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    (row,) = run(random_model, Pass(PROMPTS[0], (Capture(parts.depth),), sampling=ALL))
    with torch.inference_mode():
        logits = parts.head(parts.norm(row.states[0][0]))
    # Gemma caps its logits, which keeps their order.
    assert logits.argmax() == plain_logits(random_model, PROMPTS[0]).argmax()


def test_padding_changes_nothing(random_model: PreTrainedModel) -> None:
    rows = run(random_model, *(Pass(p, sampling=ALL) for p in PROMPTS))
    for prompt, row in zip(PROMPTS, rows, strict=True):
        torch.testing.assert_close(
            distribution(row), plain_logits(random_model, prompt).softmax(-1), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("position", [0, 2, -1])
def test_the_no_op_patch_changes_no_probability(random_model: PreTrainedModel, position: int) -> None:
    """S = T, i = i*, l = l*, f = identity: difference 0."""
    prompt = PROMPTS[0]
    for layer in range(Blocks.of(random_model).depth + 1):
        clean, *_ = run(random_model, Pass(prompt, (Capture(layer, position),), sampling=ALL))
        patch = Patch(layer, position, clean.states[0][0])
        patched, *_ = run(random_model, Pass(prompt, patches=(patch,), sampling=ALL))
        assert torch.equal(distribution(patched), distribution(clean))


def test_a_patch_equals_a_hook_written_by_hand(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    state = torch.randn(32, generator=torch.Generator().manual_seed(1))
    for layer in range(parts.depth):

        def overwrite(module, args, kwargs):  # type: ignore[no-untyped-def]
            hidden = (args[0] if args else kwargs["hidden_states"]).clone()
            hidden[0, 1] = state
            return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

        handle = parts.blocks[layer].register_forward_pre_hook(overwrite, with_kwargs=True)
        expected = plain_logits(random_model, PROMPTS[0]).softmax(-1)
        handle.remove()
        patched, _ = run(
            random_model,
            Pass(PROMPTS[0], patches=(Patch(layer, 1, state),), sampling=ALL),
            Pass(PROMPTS[2], sampling=ALL),
        )
        torch.testing.assert_close(distribution(patched), expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(expected, plain_logits(random_model, PROMPTS[0]).softmax(-1), atol=1e-3)


@pytest.mark.parametrize("token", [3, 42, 96])
def test_a_one_hot_embedding_at_layer_0_equals_writing_the_token(random_model: PreTrainedModel, token: int) -> None:
    """Whatever an architecture does to its embeddings: scale (Gemma), add positions (GPT-2, OPT)."""

    prompt = PROMPTS[0]
    written = (*prompt[:2], token, *prompt[3:])
    (patched,) = run(random_model, Pass(prompt, patches=(Patch(0, 2, torch.tensor([token]), TOKEN),), sampling=ALL))
    torch.testing.assert_close(
        distribution(patched), plain_logits(random_model, written).softmax(-1), atol=1e-6, rtol=1e-5
    )


def test_hard_token_writes_the_token_that_the_state_predicts(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    (source,) = run(random_model, Pass(PROMPTS[1], (Capture(parts.depth),), sampling=Sampling(1, 1)))
    predicted = source.tokens[0]
    patch = Patch(0, 1, source.states[0][0], mapping_named("hard_token"))
    (patched,) = run(random_model, Pass(PROMPTS[0], patches=(patch,), sampling=ALL))
    written = (PROMPTS[0][0], predicted, *PROMPTS[0][2:])
    torch.testing.assert_close(
        distribution(patched), plain_logits(random_model, written).softmax(-1), atol=1e-6, rtol=1e-5
    )


def test_a_row_is_the_same_alone_and_in_a_mixed_batch(random_model: PreTrainedModel) -> None:
    """Rows with different prompts, sites and mappings; 8 tokens each."""
    depth = Blocks.of(random_model).depth
    generator = torch.Generator().manual_seed(3)
    sampling = Sampling(max_tokens=8)
    mappings = ("identity", "norm_matched", "vocabulary", "hard_token")
    passes = [Pass(p, sampling=sampling) for p in PROMPTS]
    for number in range(12):
        mapping = mapping_named(mappings[number % 4])
        layer = 0 if number % 4 > 1 else number % depth
        state = torch.randn(32, generator=generator)
        prompt = PROMPTS[number % 3]
        passes.append(Pass(prompt, patches=(Patch(layer, -1 - number % 3, state, mapping),), sampling=sampling))
    together = run(random_model, *passes)
    for request, row in zip(passes, together, strict=True):
        (alone,) = run(random_model, request)
        assert row.tokens == alone.tokens
        assert row.patched == len(request.patches)


@pytest.mark.parametrize("exit", [None, 2])
def test_rows_that_end_leave_the_others_as_they_were(random_model: PreTrainedModel, exit: int | None) -> None:
    """Their places are given up on the way, with what the model keeps of them."""
    follow = (Capture(1, follow=True),)
    lengths = (1, 9, 2, 4, 1, 12)
    passes = [Pass(PROMPTS[n % 3], follow, sampling=Sampling(most), exit=exit) for n, most in enumerate(lengths)]
    for request, row in zip(passes, run(random_model, *passes), strict=True):
        (alone,) = run(random_model, request)
        assert row.tokens == alone.tokens
        torch.testing.assert_close(torch.stack(row.states[0]), torch.stack(alone.states[0]), atol=1e-4, rtol=1e-4)


def test_batches_take_turns_on_one_model(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    passes = [
        Pass(PROMPTS[0], sampling=Sampling(8)),
        Pass(PROMPTS[1], sampling=Sampling(5), exit=2),
        Pass(PROMPTS[2], patches=(Patch(1, 0, torch.ones(32)),), sampling=Sampling(8)),
    ]
    batches = [Batch(random_model, parts, [request], stops=lambda sampling: frozenset(), pad=0) for request in passes]
    while any(batch.running for batch in batches):
        for batch in batches:
            if batch.running:
                batch.step()
    for request, batch in zip(passes, batches, strict=True):
        (alone,) = run(random_model, request)
        assert batch.rows[0].tokens == alone.tokens


def test_a_model_of_nan_fails_rather_than_answers(random_model: PreTrainedModel) -> None:
    broken = copy.deepcopy(random_model)
    Blocks.of(broken).embedding.weight.data.fill_(torch.nan)
    with pytest.raises(EngineUnavailable, match="no number"):
        run(broken, Pass(PROMPTS[0]))


def test_generation_equals_the_models_own(random_model: PreTrainedModel) -> None:
    rows = run(random_model, *(Pass(p, sampling=Sampling(max_tokens=10)) for p in PROMPTS))
    for prompt, row in zip(PROMPTS, rows, strict=True):
        own = random_model.generate(
            torch.tensor([prompt]), max_new_tokens=10, min_new_tokens=10, do_sample=False, pad_token_id=0
        )
        if own.shape[1] == len(prompt) + 10:
            assert row.tokens == own[0, len(prompt) :].tolist()


def test_followed_states_are_those_of_the_generated_tokens(random_model: PreTrainedModel) -> None:
    depth = Blocks.of(random_model).depth
    (row,) = run(random_model, Pass(PROMPTS[1], (Capture(depth - 1, follow=True),), sampling=Sampling(max_tokens=4)))
    fed = (*PROMPTS[1], *row.tokens[:-1])
    with torch.inference_mode():
        own = random_model(input_ids=torch.tensor([fed]), output_hidden_states=True).hidden_states[depth - 1][0]
    torch.testing.assert_close(torch.stack(row.states[0]), own[len(PROMPTS[1]) - 1 :], atol=1e-4, rtol=1e-4)


def test_a_patch_that_does_not_happen_fails_the_pass(random_model: PreTrainedModel) -> None:
    """Hooks on blocks that the model does not run: the answer must not claim a patch."""
    elsewhere = Blocks.of(copy.deepcopy(random_model))
    request = Pass(PROMPTS[0], patches=(Patch(1, 0, torch.zeros(32)),))
    with pytest.raises(PatchNotApplied, match="0 of 1"):
        generate(random_model, elsewhere, [request], stop=frozenset(), pad=0)


def test_an_unknown_architecture_is_refused_with_what_was_looked_for(random_model: PreTrainedModel) -> None:
    class Odd:
        base_model = torch.nn.Linear(2, 2)
        config = LlamaConfig()

        def get_output_embeddings(self) -> None: ...
        def get_input_embeddings(self) -> None: ...

    with pytest.raises(UnsupportedModel, match="layers, h, block, blocks"):
        Blocks.of(Odd())  # type: ignore[arg-type]
