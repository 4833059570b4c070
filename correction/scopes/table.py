"""The result that all ready-made Patchscopes share: a table of texts with numbers, to be printed, drawn or sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from correction.patchscope import Patchscope


@dataclass(frozen=True)
class Cell:
    """What was said, and a number whose meaning the table states (`value`); None where there is none."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Axis:
    """What the rows or columns of a table are, and each one's label."""

    meaning: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """`cells[row][column]`, None where the method defines no cell. value: what a cell's number is.

    notes: what a reader has to know. patchscopes: those worth a closer look, in the form that `Patchscope.parse` reads:
    the likeliest cell of a grid, or every one that was run.
    """

    name: str
    title: str
    rows: Axis
    columns: Axis
    value: str
    cells: tuple[tuple[Cell | None, ...], ...]
    notes: tuple[str, ...] = ()
    patchscopes: tuple[Patchscope, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.cells) == len(self.rows.labels)
        assert all(len(row) == len(self.columns.labels) for row in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite is null, as JSON has none."""
        return {
            "name": self.name,
            "title": self.title,
            "rows": {"meaning": self.rows.meaning, "labels": list(self.rows.labels)},
            "columns": {"meaning": self.columns.meaning, "labels": list(self.columns.labels)},
            "value": self.value,
            "cells": [[_cell_json(cell) for cell in row] for row in self.cells],
            "notes": list(self.notes),
            "patchscopes": [scope.to_json() for scope in self.patchscopes],
        }


def _cell_json(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    finite = cell.value is not None and math.isfinite(cell.value)
    return {"text": cell.text, "value": cell.value if finite else None}
