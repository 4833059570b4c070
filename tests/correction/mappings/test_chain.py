"""Which mappings may follow one another, whose head a chain reads, and for which models it was fitted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from correction.errors import InvalidInput, InvalidMapping
from correction.mappings import IDENTITY, MAPPINGS, Affine, Chain, Fitted, check_fitted_for
from correction.models import LoadedModel

NOWHERE: Any = None
VOCABULARY, HARD_TOKEN, NORM_MATCHED = (MAPPINGS[name] for name in ("vocabulary", "hard_token", "norm_matched"))


def affine(
    source: str = "A", target: str = "A", layers: tuple[int, int] = (2, 3), widths: tuple[int, int] = (4, 4)
) -> Affine:
    fitted = Fitted("ridge", "objective", source, target, *layers, pairs=9, explained=0.5)
    generator = torch.Generator().manual_seed(sum(widths) + sum(layers))
    return Affine(fitted, torch.randn(widths[1], widths[0], generator=generator), torch.ones(widths[1]))


class Model:
    """Parts that note that their head was read."""

    def __init__(self) -> None:
        self.read = False

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        self.read = True
        return states

    def mix(self, probabilities: torch.Tensor) -> torch.Tensor:
        return probabilities


def test_parts_apply_from_left_to_right() -> None:
    first, second = affine(widths=(4, 6)), affine(widths=(6, 3))
    states = torch.randn(5, 4)
    given = Chain((first, second))(states, torch.zeros(5, 3), NOWHERE, NOWHERE)
    torch.testing.assert_close(given, (states @ first.weight.T + 1) @ second.weight.T + 1)


def test_a_chain_is_described_by_its_parts() -> None:
    inner = Chain((IDENTITY, affine(widths=(4, 6))))
    chain = Chain((inner, affine(widths=(6, 3)), VOCABULARY, NORM_MATCHED))
    assert chain.name == "identity+ridge+ridge+vocabulary+norm_matched"
    assert chain.widths == (4, 3)
    assert chain.embeds  # what follows only rescales
    assert not inner.embeds
    assert Chain((NORM_MATCHED, VOCABULARY)).widths is None
    assert Chain((affine(), HARD_TOKEN)).embeds


def test_norm_matched_last_gives_the_length_of_the_replaced_state() -> None:
    target = torch.randn(5, 3) * 9
    given = Chain((affine(widths=(4, 3)), NORM_MATCHED))(torch.randn(5, 4), target, NOWHERE, NOWHERE)
    torch.testing.assert_close(given.norm(dim=-1), target.norm(dim=-1))


@pytest.mark.parametrize(("target", "reads"), [("A", "source"), ("B", "target")])
def test_the_head_that_is_read_is_of_the_model_that_the_state_is_in(target: str, reads: str) -> None:
    """A mapping fitted across models carries the state to the target; one fitted within the source does not."""
    models = {"source": Model(), "target": Model()}
    chain = Chain((affine("A", target), VOCABULARY))
    chain(torch.randn(5, 4), torch.zeros(5, 4), *models.values())  # type: ignore[call-arg]
    assert [name for name, model in models.items() if model.read] == [reads]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((), "at least two mappings"),
        ((IDENTITY,), "at least two mappings"),
        ((affine(widths=(4, 6)), affine(widths=(5, 3))), "gives states of width 6 and 'ridge' takes 5"),
        ((affine(widths=(4, 6)), NORM_MATCHED, affine(widths=(5, 3))), "gives states of width 6"),
        ((affine("A", "B"), affine("A", "B")), r"gives states of the model B\.\.\. and 'ridge' takes those of A"),
        ((VOCABULARY, HARD_TOKEN), "'hard_token' takes a hidden state and cannot follow 'vocabulary'"),
        ((VOCABULARY, NORM_MATCHED, affine()), "'ridge' takes a hidden state and cannot follow 'vocabulary'"),
    ],
)
def test_what_makes_no_sense_is_refused(parts: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Chain(parts)


class TestFittedFor:
    def test_the_layers_it_was_fitted_for_give_no_warning(self) -> None:
        assert check_fitted_for(affine("A", "B"), "A", "B", 2, 3) == []
        assert check_fitted_for(Chain((affine("A", "B"), NORM_MATCHED)), "A", "B", 2, 3) == []

    def test_fixed_mappings_suit_every_model(self) -> None:
        assert check_fitted_for(VOCABULARY, "A", "B", 9, 9) == []

    def test_other_layers_are_a_warning_each(self) -> None:
        assert check_fitted_for(affine(), "A", "A", 1, 0) == [
            "the mapping 'ridge' was fitted for source layer 2 and is used at layer 1",
            "the mapping 'ridge' was fitted for target layer 3 and is used at layer 0",
        ]

    def test_layers_inside_a_chain_must_meet(self) -> None:
        chain = Chain((affine(layers=(2, 6)), affine(layers=(5, 0))))
        (warning,) = check_fitted_for(chain, "A", "A", 2, 0)
        assert "source layer 5 and is used at layer 6" in warning

    def test_a_decoded_state_may_go_to_any_layer(self) -> None:
        """Its embedding is written, not the state at the layer that the mapping was fitted for."""
        chain = Chain((affine("A", "A", (2, 6)), VOCABULARY))
        assert check_fitted_for(chain, "A", "A", 2, 0) == []
        assert check_fitted_for(chain, "A", "B", 2, 0) == []

    @pytest.mark.parametrize(("source", "target", "role"), [("C", "B", "source"), ("A", "C", "target")])
    def test_other_models_are_an_error(self, source: str, target: str, role: str) -> None:
        for mapping in (affine("A", "B"), Chain((affine("A", "B"), VOCABULARY))):
            with pytest.raises(InvalidMapping, match=f"fitted for another {role} model .*'hopfix fit'"):
                check_fitted_for(mapping, source, target, 2, 3)


def test_a_chain_is_a_mapping_of_the_forward(demo: LoadedModel) -> None:
    """vocabulary alone and after an identity give the same state."""
    states, replaced = torch.randn(3, 128), torch.zeros(3, 128)
    chain = Chain((IDENTITY, VOCABULARY))
    with torch.inference_mode():
        alone, chained = (mapping(states, replaced, demo.parts, demo.parts) for mapping in (VOCABULARY, chain))
    assert torch.equal(alone, chained)
