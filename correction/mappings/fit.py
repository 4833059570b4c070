"""Fitting a mapping on a stream of pairs of states that is never held in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from correction.errors import InvalidInput
from correction.mappings import mlp
from correction.mappings.affine import procrustes, ridge
from correction.mappings.files import KINDS
from correction.mappings.fitted import Fitted, FittedMapping
from correction.mappings.kernel import LANDMARKS, Reservoir, nystroem
from correction.mappings.moments import Moments
from correction.mappings.streams import Pairs, Split, even

SHUFFLED = 4096  # rows that an MLP shuffles at a time


def readings(kind: str, epochs: int) -> int:
    """How often `fit` reads the stream."""
    return {"ridge": 2, "procrustes": 2, "kernel": 3, "mlp": 2 + epochs}[kind]


def fit(
    kind: str,
    pairs: Pairs,
    *,
    source_model: str,
    target_model: str,
    source_layer: int,
    target_layer: int,
    strength: float = 1e-3,
    scale: bool = False,
    epochs: int = 10,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda rows: None,
) -> FittedMapping:
    """A mapping of a kind (ridge, procrustes, mlp, kernel), fitted on about nine tenths of the pairs.

    `pairs()` starts the stream of batches again; its first reading gives the moments, its last the variance explained
    on the held-out rows. strength: of the ridge regression, part of every kind but Procrustes. scale: whether
    Procrustes fits a length. `on_progress` gets the number of rows of each batch, at each of the `readings`.
    Raises `InvalidInput` for pairs or settings that nothing can be fitted with.
    """
    if kind not in KINDS:
        raise InvalidInput(f"unknown kind {kind!r}", hint=f"choose one of {', '.join(KINDS)}", param="kind")
    split = Split(pairs, seed, on_progress)
    moments, sample = Moments(), Reservoir(LANDMARKS, seed)
    for source, target in split.training():
        moments.add(source, target)
        if kind == "kernel":
            sample.add(source)
    weights: dict[str, Tensor]
    if kind == "procrustes":
        weights = dict(zip(("weight", "bias"), procrustes(moments, scale), strict=True))
        objective = _procrustes_objective(len(moments.target_mean) >= len(moments.source_mean), scale)
    elif kind == "mlp":
        weights = mlp.train(
            moments, lambda: even(split.training(), SHUFFLED), strength=strength, epochs=epochs, seed=seed
        )
        objective = f"min mean ||(f(h) - t) / sigma||^2 by AdamW, {epochs} epochs, from ridge, lambda = {strength:g}"
    elif kind == "kernel":
        assert sample.rows is not None
        weights = nystroem(moments, sample.rows, split.training(), strength=strength)
        objective = f"min sum ||f(h) - t||^2 + lambda |f|^2 by {len(sample.rows)} Nyström features of what ridge leaves"
        objective += f", lambda = {strength:g}"
    else:
        weights = dict(zip(("weight", "bias"), ridge(moments, strength), strict=True))
        objective = f"min sum ||W h + b - t||^2 + lambda ||W||^2, lambda = {strength:g} mean diag X^T X"
    about = Fitted(
        kind, objective, source_model, target_model, source_layer, target_layer, pairs=moments.rows, explained=0.0
    )
    tensors = {name: tensor.float().contiguous() for name, tensor in weights.items()}
    mapping = KINDS[kind](about, **tensors)
    return replace(mapping, fitted=replace(about, explained=_explained(mapping, moments.target_mean, split)))


def _explained(mapping: FittedMapping, mean: Tensor, split: Split) -> float:
    """1 - sum ||f(h) - t||^2 / sum ||mean - t||^2 over the held-out rows; targets that never vary count as 1 if met."""
    missed = varied = 0.0
    for source, target in split.held_out():
        missed += float((mapping.apply(source).double() - target).square().sum())
        varied += float((mean - target).square().sum())
    return 1 - missed / varied if varied else float(not missed)


def _procrustes_objective(widens: bool, scale: bool) -> str:
    if not widens:
        return f"max sum <W h, t>, centred, W with orthonormal rows{', then a scale by least squares' * scale}"
    return f"min sum ||{'s ' * scale}W h + b - t||^2, W with orthonormal columns"
