"""The probe finds what is there and does not find what is not."""

from __future__ import annotations

import pytest
import torch

from correction.errors import InvalidInput
from correction.scopes.linear_probe import classify, split
from tests.correction.scopes.conftest import Look

SUBJECTS = "France Germany Spain Italy Poland Portugal Austria Sweden Norway Denmark Greece Hungary".split()


def accuracies(states: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """On the rows it was trained on, and held out."""
    held_out = split(labels, 0)
    right = classify(states[~held_out], labels[~held_out], states, 2) == labels
    return float(right[~held_out].float().mean()), float(right[held_out].float().mean())


def test_a_separable_label_is_found_and_a_random_one_is_not() -> None:
    torch.manual_seed(3)
    labels = torch.arange(300) % 2
    states = torch.randn(300, 200)  # as many directions as prompts: any label can be learned by heart
    trained, held_out = accuracies(states, labels)
    assert trained > 0.95
    assert 0.3 < held_out < 0.7
    states[:, 0] += 20.0 * labels
    assert min(accuracies(states, labels)) > 0.95


def test_on_the_models_states(look: Look) -> None:
    """The last token tells a question about currencies from one about capitals at every layer but the embedding."""
    prompts = [f"The {kind} of {subject} is" for kind in ("capital", "currency") for subject in SUBJECTS]
    labels = ["capital"] * len(SUBJECTS) + ["currency"] * len(SUBJECTS)
    table = look("linear-probe", *prompts, labels=labels, layers=[0, 3])
    assert [cell.value for cell in table.cells[1] if cell] == [1.0, 1.0]
    assert table.cells[0][1].value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert "16 prompts trained on, 8 held out" in table.notes[0]


@pytest.mark.parametrize("labels", [["a"] * 4, ["a", "b", "b", "b"], ["a", "b"]])
def test_labels_that_nothing_can_be_learned_from(look: Look, labels: list[str]) -> None:
    with pytest.raises(InvalidInput, match="label"):
        look("linear-probe", *SUBJECTS[:4], labels=labels)


def test_held_out_prompts_are_not_trained_on(look: Look) -> None:
    """Labels without meaning are learned by heart where the probe has seen them, and only there."""
    prompts = [f"The {kind} of {subject} is" for kind in ("capital", "currency") for subject in SUBJECTS]
    labels = ["a" if n % 2 else "b" for n in range(len(prompts))]
    trained, held_out = look("linear-probe", *prompts, labels=labels, layers=[6]).cells[0]
    assert trained is not None
    assert held_out is not None
    assert trained.value == pytest.approx(1.0, abs=0.1)
    assert held_out.value < 0.9  # type: ignore[operator]
