"""Each kind of fit finds a truth that is known, however its pairs are streamed, and refuses what decides nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from correction.errors import InvalidInput
from correction.mappings import FittedMapping, fit
from correction.mappings.affine import ridge
from correction.mappings.fit import readings
from correction.mappings.moments import Moments

MODELS = {"source_model": "sha256:a", "target_model": "sha256:b", "source_layer": 2, "target_layer": 3}
KINDS = ("ridge", "procrustes", "mlp", "kernel")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fitted(kind: str, source: Tensor, target: Tensor, batch: int = 100, **settings: Any) -> FittedMapping:
    return fit(kind, lambda: zip(source.split(batch), target.split(batch), strict=True), **{**MODELS, **settings})


def curved(rows: int = 1500) -> tuple[Tensor, Tensor]:
    """Targets that no affine map gives, from states with large means and components of very different lengths."""
    hidden = normal(rows, 6)
    target = hidden @ normal(6, 5, seed=1) + (hidden @ normal(6, 5, seed=2)).abs()
    return hidden * torch.logspace(-1, 2, 6) + 50, target


class TestRidge:
    def test_it_recovers_an_affine_map_between_two_widths(self) -> None:
        weight, bias, source = normal(5, 8, seed=1), normal(5, seed=2), normal(500, 8) + 10
        mapping = fitted("ridge", source, source @ weight.T + bias, strength=1e-6)
        torch.testing.assert_close(mapping.weight, weight, atol=1e-3, rtol=0)
        torch.testing.assert_close(mapping.bias, bias, atol=1e-3, rtol=0)
        assert mapping.widths == (8, 5)
        assert mapping.fitted.explained > 0.99999

    @pytest.mark.parametrize("strength", [1e-4, 0.1, 10.0])
    def test_it_is_the_closed_form(self, strength: float) -> None:
        """(X'X + lambda I)^-1 X'T of centred states: the bias is not penalised."""
        source, target = normal(60, 4) * 3 + 7, normal(60, 3, seed=1)
        moments = Moments()
        moments.add(source, target)
        weight, bias = ridge(moments, strength)
        x, t = (states.double() - states.double().mean(0) for states in (source, target))
        gram = x.T @ x
        expected = torch.linalg.inv(gram + strength * gram.diagonal().mean() * torch.eye(4)) @ x.T @ t
        torch.testing.assert_close(weight, expected.T)
        torch.testing.assert_close(bias, target.double().mean(0) - source.double().mean(0) @ expected)

    def test_without_strength_and_with_few_rows_it_is_the_smallest_exact_map(self) -> None:
        source, target = normal(5, 9).double(), normal(5, 2, seed=1).double()
        moments = Moments()
        moments.add(source, target)
        weight, bias = ridge(moments, 0.0)
        torch.testing.assert_close(source @ weight.T + bias, target)
        centred = source - source.mean(0)
        torch.testing.assert_close(weight.T, torch.linalg.pinv(centred) @ (target - target.mean(0)))

    def test_components_that_repeat_one_another_are_no_trouble(self) -> None:
        """Their X^T X is singular but for rounding, which a Cholesky factor may survive with nonsense."""
        for seed in range(10):
            source = normal(50, 1, seed=seed) @ torch.tensor([[1.0, 3.0, 0.1]])
            moments = Moments()
            moments.add(source.double(), source[:, :1].double())
            assert ridge(moments, 0.0)[0].norm() < 1

    @pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
    def test_an_impossible_strength_is_refused(self, strength: float) -> None:
        with pytest.raises(InvalidInput, match="give 0 or more"):
            fitted("ridge", normal(20, 4), normal(20, 3), strength=strength)


class TestProcrustes:
    def test_it_recovers_a_rotation_from_fewer_rows_than_ridge_needs(self) -> None:
        rotation, _ = torch.linalg.qr(normal(16, 16, seed=1))
        source = normal(40, 16)
        mapping = fitted("procrustes", source, source @ rotation.T + 2)
        torch.testing.assert_close(mapping.weight, rotation, atol=1e-5, rtol=0)
        torch.testing.assert_close(mapping.bias, torch.full((16,), 2.0), atol=1e-5, rtol=0)

    def test_it_refuses_to_stretch(self) -> None:
        source = normal(200, 6)
        mapping = fitted("procrustes", source, source * torch.tensor([1.0, 2, 3, 4, 5, 6]))
        torch.testing.assert_close(mapping.weight @ mapping.weight.T, torch.eye(6), atol=1e-5, rtol=0)
        assert mapping.fitted.explained < 0.8

    def test_a_scale_stretches_all_directions_alike(self) -> None:
        rotation, _ = torch.linalg.qr(normal(6, 6, seed=1))
        source = normal(200, 6)
        mapping = fitted("procrustes", source, 3.5 * source @ rotation.T, scale=True)
        torch.testing.assert_close(mapping.weight, 3.5 * rotation, atol=1e-5, rtol=0)
        assert "s W h" in mapping.fitted.objective

    def test_into_a_larger_width_it_keeps_every_length(self) -> None:
        columns, _ = torch.linalg.qr(normal(9, 5, seed=1))
        source = normal(100, 5)
        mapping = fitted("procrustes", source, source @ columns.T)
        torch.testing.assert_close(mapping.weight, columns, atol=1e-5, rtol=0)

    def test_into_a_smaller_width_its_rows_are_orthonormal(self) -> None:
        mapping = fitted("procrustes", normal(100, 9), normal(100, 5, seed=1))
        torch.testing.assert_close(mapping.weight @ mapping.weight.T, torch.eye(5), atol=1e-5, rtol=0)
        assert mapping.fitted.objective.startswith("max sum <W h, t>")

    def test_one_training_row_leaves_the_rotation_undecided(self) -> None:
        with pytest.raises(InvalidInput, match="at least two different pairs"):
            fitted("procrustes", normal(2, 4), normal(2, 4, seed=1))


@pytest.mark.parametrize("kind", ["mlp", "kernel"])
class TestCurved:
    def test_it_explains_what_ridge_cannot(self, kind: str) -> None:
        source, target = curved()
        flat = fitted("ridge", source, target).fitted.explained
        assert flat < 0.9
        assert fitted(kind, source, target).fitted.explained > flat + 0.05

    def test_it_meets_the_mean_of_the_targets(self, kind: str) -> None:
        """The part that is not linear has a mean of its own, which the bias takes up."""
        source, target = curved()
        missed = fitted(kind, source, target, epochs=40).apply(source) - target
        assert missed.mean(0).norm() < 0.05

    def test_the_same_seed_gives_the_same_mapping(self, kind: str) -> None:
        source, target = curved(300)
        once, again, other = (fitted(kind, source, target, seed=seed, epochs=2) for seed in (3, 3, 4))
        assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in once.tensors.items())
        assert once.fitted == again.fitted
        assert once.fitted.explained != other.fitted.explained

    def test_it_can_be_fitted_on_states_of_a_running_model(self, kind: str) -> None:
        """A model's states come from `torch.inference_mode`, in bfloat16 perhaps."""
        with torch.inference_mode():
            source, target = normal(50, 4).bfloat16(), normal(50, 3).bfloat16()
        assert fitted(kind, source, target, epochs=1).widths == (4, 3)


class TestStream:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("batch", [1, 64, 299])
    def test_batches_of_any_size_give_the_same_mapping(self, kind: str, batch: int) -> None:
        source, target = curved(300)
        whole, streamed = (fitted(kind, source, target, batch=size, epochs=1) for size in (300, batch))
        torch.testing.assert_close(streamed.apply(source), whole.apply(source), atol=1e-3, rtol=1e-3)
        assert streamed.fitted.pairs == whole.fitted.pairs
        assert streamed.fitted.explained == pytest.approx(whole.fitted.explained, abs=1e-4)

    @pytest.mark.parametrize("kind", KINDS)
    def test_progress_counts_the_rows_of_every_reading(self, kind: str) -> None:
        counted: list[int] = []
        fitted(kind, normal(70, 4), normal(70, 3), batch=20, epochs=3, on_progress=counted.append)
        assert counted == [20, 20, 20, 10] * readings(kind, 3)

    def test_a_constant_explains_nothing(self) -> None:
        mapping = fitted("ridge", normal(500, 4), normal(500, 3, seed=1) + 100, strength=1e9)
        assert mapping.fitted.explained == pytest.approx(0, abs=1e-6)

    def test_explained_is_of_the_held_out_rows(self) -> None:
        """Noise can be learnt by heart, not foreseen."""
        assert fitted("ridge", normal(60, 50), normal(60, 3, seed=1), strength=0.0).fitted.explained < 0


class TestRefusals:
    @pytest.mark.parametrize("kind", ["ridge", "mlp", "kernel"])
    @pytest.mark.parametrize("rows", [2, 3])
    def test_two_pairs_are_enough_for_a_constant(self, kind: str, rows: int) -> None:
        assert fitted(kind, normal(rows, 4), normal(rows, 3), epochs=1).fitted.pairs >= 1

    @pytest.mark.parametrize(
        ("source", "target", "says"),
        [
            (normal(1, 4), normal(1, 4), "1 pairs of states are too few"),
            (normal(9, 4), normal(9, 4) / 0, "not finite"),
            (torch.full((9, 4), torch.nan), normal(9, 4), "not finite"),
            (normal(9, 4), normal(9, 2, 2), "are no pairs"),
        ],
    )
    def test_what_cannot_be_fitted_is_named(self, source: Tensor, target: Tensor, says: str) -> None:
        with pytest.raises(InvalidInput, match=says):
            fitted("ridge", source, target)

    def test_no_pairs_and_unknown_kinds_are_named(self) -> None:
        with pytest.raises(InvalidInput, match="0 pairs of states are too few"):
            fit("ridge", lambda: iter(()), **MODELS)
        with pytest.raises(InvalidInput, match="choose one of ridge, procrustes, mlp, kernel"):
            fitted("magic", normal(9, 4), normal(9, 4))
