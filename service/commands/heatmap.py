"""A table as a picture: the number as colour, the text in the cell."""

from __future__ import annotations

import math
import textwrap
import warnings
from pathlib import Path

from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from correction.errors import InvalidInput
from correction.scopes.table import Table
from service.commands.inspect_text import shown

FONT = 8  # points, in every size of grid: the picture grows instead
LONGEST = {True: 10, False: 22}  # characters of a text, in grids of more than MANY columns and in smaller ones
MANY = 12
EMPTY = "#eeeeee"


def draw(table: Table, file: Path) -> None:
    """Writes the picture; raises `InvalidInput` if it cannot be written. Needs no display."""
    rows, columns = len(table.rows.labels), len(table.columns.labels)
    longest = LONGEST[columns > MANY] if columns > 1 else 60
    texts = [[shown(cell.text, longest) if cell else "" for cell in row] for row in table.cells]
    letters = max(8, *(len(text) for row in texts for text in row))
    width, height = letters * 0.075 + 0.12, 0.34
    figure = Figure(figsize=(max(6.0, columns * width + 2.6), max(2.6, rows * height + 1.9)), layout="constrained")
    axes = figure.add_subplot()
    values = [[_number(cell.value) if cell else math.nan for cell in row] for row in table.cells]
    finite = [value for row in values for value in row if math.isfinite(value)]
    norm = _norm(finite)
    colours = colormaps["RdBu_r" if min(finite, default=0) < 0 else "Blues"].with_extremes(bad=EMPTY)
    image = axes.imshow(values, cmap=colours, norm=norm, aspect="auto")
    for n, row in enumerate(texts):
        for m, text in enumerate(row):
            red, green, blue, _ = colours(norm(values[n][m])) if math.isfinite(values[n][m]) else (1, 1, 1, 1)
            ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"
            axes.text(m, n, text, ha="center", va="center", fontsize=FONT, color=ink, parse_math=False)
    axes.set_xticks(range(columns), [shown(label, longest) for label in table.columns.labels], fontsize=FONT)
    axes.set_yticks(range(rows), [shown(label, 30) for label in table.rows.labels], fontsize=FONT)
    axes.tick_params(length=0)
    axes.set_xlabel(table.columns.meaning)
    axes.set_ylabel(table.rows.meaning)
    title = textwrap.fill(shown(table.title, 400), int(10 * figure.get_figwidth()))
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)  # a model may say "$"
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)
    if finite:
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
        bar.set_label(textwrap.fill(table.value, int(10 * figure.get_figheight())), fontsize=FONT)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script that the font lacks is drawn as boxes
        try:
            figure.savefig(file, dpi=120)
        except OSError as error:
            raise InvalidInput(f"cannot write {file}", hint=error.strerror or str(error), param="picture") from None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _norm(finite: list[float]) -> Normalize:
    """Shares of one from 0 to 1 whatever occurs, so that pictures compare; effects around 0."""
    if finite and min(finite) < 0:
        most = max(abs(value) for value in finite)
        return Normalize(-most, most)
    return Normalize(0, 1)
