"""A mapping by its name: fixed, a file, or several joined."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from correction.errors import InvalidInput, InvalidMapping
from correction.mappings import FittedMapping, mapping_named, save_mapping

Fit = Callable[[str], FittedMapping]


def test_a_file_is_a_mappings_name(saved: Path) -> None:
    assert mapping_named(str(saved)).widths == (6, 4)
    assert mapping_named(f"{saved}+norm_matched").name == "ridge+norm_matched"


def test_a_file_is_read_once_until_it_changes(saved: Path, fitted: Fit) -> None:
    """Rows of a batch with equal names share one mapping, and so one operation."""
    for name in (str(saved), f"{saved}+norm_matched"):
        assert mapping_named(name) is mapping_named(name)
    save_mapping(fitted("mlp"), saved)
    os.utime(saved, ns=(1, 1))
    assert mapping_named(str(saved)).name == "mlp"


@pytest.mark.parametrize("name", ["magic", "", "identity+", "runs/a+b"])
def test_an_unknown_name_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"choose one of .*hard_token, identity, .*\.safetensors"):
        mapping_named(name)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidMapping, match=r"no mapping file nowhere\.safetensors"):
        mapping_named("identity+nowhere.safetensors")
