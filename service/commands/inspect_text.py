"""A table of texts and numbers for people, in as many blocks of columns as the terminal needs."""

from __future__ import annotations

import math
import sys

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from correction.scopes.table import Cell, Table

WIDEST = 24  # characters of a text in a grid; a table of one column has the whole line


def print_table(table: Table) -> None:
    """To stdout. A pipe has no width: there the table is one block."""
    terminal = Console(file=sys.stdout)
    width = terminal.width if terminal.is_terminal else 10_000
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    widest = WIDEST if len(table.columns.labels) > 1 else max(WIDEST, width - 30)
    texts = [[describe(cell, widest) for cell in row] for row in table.cells]
    labels = [shown(label, widest) for label in table.columns.labels]
    widths = [max(len(line) for line in column) + 2 for column in zip(labels, *texts, strict=True)]
    side = max(len(label) for label in [table.rows.meaning, *table.rows.labels]) + 2
    console.print(Text(shown(table.title, 1000)))
    console.print(Text(f"rows: {table.rows.meaning}; columns: {table.columns.meaning}; numbers: {table.value}"))
    for first, last in blocks(widths, width - side):
        drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        drawn.add_column(Text(table.rows.meaning), no_wrap=True)
        for label in labels[first:last]:
            drawn.add_column(Text(label), no_wrap=True)
        for label, row in zip(table.rows.labels, texts, strict=True):
            drawn.add_row(Text(shown(label, WIDEST)), *(Text(text) for text in row[first:last]))
        console.print(drawn)
    for note in table.notes:
        console.print(Text(f"note: {shown(note, 1000)}"))


def blocks(widths: list[int], width: int) -> list[tuple[int, int]]:
    """Columns in runs that fit side by side, each with one at least."""
    runs: list[tuple[int, int]] = []
    taken = 0
    for n, needed in enumerate(widths):
        if not runs or taken + needed > width:
            runs.append((n, n))
            taken = 0
        runs[-1] = (runs[-1][0], n + 1)
        taken += needed
    return runs


def describe(cell: Cell | None, widest: int) -> str:
    """A cell as one line: its text, then its number unless the text is that number."""
    if cell is None:
        return ""
    text = shown(cell.text, widest)
    if cell.value is None or not math.isfinite(cell.value):
        return text
    number = round(cell.value, 3) + 0.0  # no minus before a zero
    return text if text in (f"{number:.3f}", f"{number:+.3f}") else f"{text} {number:.2f}"


def shown(text: str, widest: int) -> str:
    """A model's text on one line, without what a terminal would obey; a dot where there is none."""
    text = text.strip(" ").replace("\n", "⏎") or "·"
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= widest else text[: widest - 1] + "…"
