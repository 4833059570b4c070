"""Drawing tokens: as likely as temperature and top_p say, the same again for the same seed, batch-mates or not."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.forward import generate
from correction.passes import Pass, Sampling
from correction.sampling import choose, generator_of

PROBABILITIES = torch.tensor([0.1, 0.5, 0.0, 0.3, 0.1])
DRAWS = 4000


def drawn(sampling: Sampling) -> dict[int, float]:
    """How often each token comes."""
    generator = generator_of(sampling)
    logprobs = PROBABILITIES.log().unsqueeze(0)
    counts = Counter(int(choose(logprobs, [sampling], [generator])) for _ in range(DRAWS))
    return {token: count / DRAWS for token, count in counts.items()}


def test_without_temperature_the_likeliest_token_comes() -> None:
    assert drawn(Sampling(seed=1)) == {1: 1.0}


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e-3])
def test_no_temperature_is_too_low(temperature: float) -> None:
    assert drawn(Sampling(temperature=temperature, seed=1)) == {1: 1.0}


def test_at_temperature_1_tokens_come_as_often_as_the_model_says() -> None:
    assert drawn(Sampling(temperature=1.0, seed=1)) == pytest.approx({0: 0.1, 1: 0.5, 3: 0.3, 4: 0.1}, abs=0.03)


def test_a_high_temperature_makes_all_possible_tokens_alike() -> None:
    assert drawn(Sampling(temperature=1e300, seed=1)) == pytest.approx({0: 0.25, 1: 0.25, 3: 0.25, 4: 0.25}, abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "left"),
    [(1e-9, {1: 1.0}), (0.5, {1: 1.0}), (0.6, {1: 0.625, 3: 0.375}), (0.85, {0: 1 / 9, 1: 5 / 9, 3: 3 / 9})],
)
def test_top_p_leaves_the_likeliest_that_together_have_it(top_p: float, left: dict[int, float]) -> None:
    assert drawn(Sampling(temperature=1.0, top_p=top_p, seed=1)) == pytest.approx(left, abs=0.03)


def test_a_drawn_row_is_the_same_alone_and_in_a_mixed_batch(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    passes = [
        Pass((5, 6, 7), sampling=Sampling(8, temperature=0.9, seed=1)),
        Pass((11, 12, 13, 14, 15), sampling=Sampling(3)),
        Pass((5, 6, 7), sampling=Sampling(8, temperature=0.9, seed=2)),
        Pass((8,), sampling=Sampling(12, temperature=1.5, top_p=0.8, seed=1)),
    ]
    together = generate(random_model, parts, passes, stop=frozenset(), pad=0)
    for request, row in zip(passes, together, strict=True):
        (alone,) = generate(random_model, parts, [request], stop=frozenset(), pad=0)
        assert row.tokens == alone.tokens
    assert together[0].tokens != together[2].tokens


def test_log_probabilities_are_the_models_own_whatever_the_temperature(random_model: PreTrainedModel) -> None:
    parts = Blocks.of(random_model)
    sampling = Sampling(1, 97, temperature=2.0, top_p=0.9, seed=4)
    (row,) = generate(random_model, parts, [Pass((5, 6, 7), sampling=sampling)], stop=frozenset(), pad=0)
    with torch.inference_mode():
        own = random_model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(-1)
    assert row.logprobs[0] == pytest.approx(own[row.tokens[0]].item(), abs=1e-4)
    assert dict(row.top[0])[row.tokens[0]] == pytest.approx(own[row.tokens[0]].exp().item(), abs=1e-4)
