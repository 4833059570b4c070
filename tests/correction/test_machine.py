"""A container's limit on memory counts where it is less than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from correction import machine
from correction.sizing import memory_here
from service.doctor import _machine

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("says", "expected"), [("536870912\n", 1 << 29), ("max\n", PHYSICAL), ("9223372036854771712\n", PHYSICAL)]
)
def test_the_smaller_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, expected: int) -> None:
    """MOCK: the files of a control group, which a test cannot put itself into."""
    (tmp_path / "memory.max").write_text(says)
    monkeypatch.setattr(machine, "LIMITS", (tmp_path / "nothing", tmp_path / "memory.max"))
    assert machine.machine_memory() == expected
    if not torch.cuda.is_available():
        assert memory_here() == (expected, True)
    assert f"{expected / 2**30:.1f} GiB" in next(_machine()).found
