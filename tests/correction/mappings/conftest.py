"""One set of pairs, and mappings fitted on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from correction.mappings import FittedMapping, fit, save_mapping

STATES = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
TARGETS = STATES[:, :4].abs() + STATES[:, :4]


@pytest.fixture
def fitted() -> Callable[[str], FittedMapping]:
    """A mapping of a kind from width 6 to width 4, between layers 2 and 3 of two models."""
    return lambda kind: fit(
        kind,
        lambda: [(STATES, TARGETS)],
        source_model="sha256:a",
        target_model="sha256:b",
        source_layer=2,
        target_layer=3,
        epochs=1,
    )


@pytest.fixture
def saved(tmp_path: Path, fitted: Callable[[str], FittedMapping]) -> Path:
    """The file of a ridge mapping."""
    path = tmp_path / "ridge.safetensors"
    save_mapping(fitted("ridge"), path)
    return path
