"""What these pictures need beside the curves and heatmaps of `eval.pictures`: words in cells, two passes, shares."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import colormaps
from matplotlib.patches import FancyArrowPatch, Rectangle

from correction.scopes.table import Cell, Table
from eval.pictures import COLOURS, FONT, SMALL, save_picture, sheet

MARK = COLOURS[1]
LETTER = 0.07  # inches, of 8 points


def transposed(table: Table) -> Table:
    """Rows as columns."""
    cells = tuple(zip(*table.cells, strict=True))
    return Table(table.name, table.title, table.columns, table.rows, table.value, cells, table.notes)


def word_table(table: Table, path: Path, title: str, *, marked: str, label: str) -> None:
    """A table's texts in cells as dark as they are probable; those that say `marked` are outlined. `label`: of that."""
    rows, columns = table.rows.labels, table.columns.labels
    room = int(5.7 / len(columns) / LETTER)
    texts = [[_word(cell.text if cell else "", room) for cell in row] for row in table.cells]
    lines = max(text.count("\n") + 1 for row in texts for text in row)
    figure, axes = sheet((0.13 + 0.14 * lines) * len(rows) + 1.3, title)
    values = [[_number(cell) for cell in row] for row in table.cells]
    image = axes.imshow(values, cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    cells = [(n, m, cell) for n, row in enumerate(table.cells) for m, cell in enumerate(row)]
    says = [(n, m) for n, m, cell in cells if cell is not None and cell.text.strip() == marked]
    for n, row in enumerate(texts):
        for m, text in enumerate(row):
            ink = "white" if values[n][m] > 0.55 else "black"
            axes.text(m, n, text, ha="center", va="center", fontsize=SMALL, color=ink, parse_math=False)
    for n, m in says:
        frame = Rectangle((m - 0.48, n - 0.46), 0.96, 0.92, fill=False, edgecolor=MARK, linewidth=2, zorder=3)
        axes.add_patch(frame)
    axes.set_xticks(range(len(columns)), [_word(name, room) for name in columns], fontsize=SMALL)
    axes.set_yticks(range(len(rows)), [_word(name, 14) for name in rows], fontsize=SMALL, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel(table.columns.meaning, fontsize=FONT)
    axes.set_ylabel(table.rows.meaning, fontsize=FONT)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("probability", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    mark = Rectangle((0, 0), 1, 1, fill=False, edgecolor=MARK, linewidth=2)
    found = label if says else f"{label}: in no cell"
    figure.legend([mark], [found], loc="outside lower left", fontsize=SMALL, frameon=False)
    save_picture(figure, path)


@dataclass(frozen=True)
class PassDrawn:
    """A pass as a picture shows it: its tokens, the site that matters, and the last layer that is run."""

    name: str
    tokens: Sequence[str]
    layer: int
    position: int
    runs_to: int


def two_passes(
    source: PassDrawn, target: PassDrawn, depth: int, path: Path, title: str, *, along: str, says: str
) -> None:
    """The state's way: a dot for each token and layer, an arrow from the source's site to the target's.

    along: what the arrow says. says: what comes out of the target. Layers that are left out are hollow.
    """
    figure, axes = sheet(4.3, title)
    gap = 1.6
    first = len(source.tokens) + gap
    places = []
    for left, run in ((0.0, source), (first, target)):
        for n, token in enumerate(run.tokens):
            for layer in range(depth + 1):
                ran = layer <= run.runs_to
                axes.plot(left + n, layer, "o", markersize=6, markerfacecolor="#b8c4d0" if ran else "none",
                          markeredgecolor="#b8c4d0", zorder=2)  # fmt: skip
            axes.text(left + n, -0.5, _word(token, 12), rotation=50, ha="right", va="top", fontsize=SMALL,
                      parse_math=False, rotation_mode="anchor",
                      color=MARK if run is target and n == run.position else "black")  # fmt: skip
        axes.text(left + (len(run.tokens) - 1) / 2, depth + 0.75, run.name, ha="center", fontsize=FONT, weight="bold")
        places.append((left + run.position, run.layer))
        axes.plot(*places[-1], "o", markersize=11, color=MARK, zorder=3)
    arrow = FancyArrowPatch(*places, arrowstyle="-|>", mutation_scale=14, color=MARK, linewidth=1.8, zorder=4,
                            connectionstyle="arc3,rad=0.18", shrinkA=7, shrinkB=7)  # fmt: skip
    axes.add_patch(arrow)
    axes.text(first - gap / 2 - 0.5, source.layer + 0.75, along, ha="center", va="center", fontsize=SMALL, color=MARK,
              parse_math=False, bbox={"facecolor": "white", "edgecolor": "none", "pad": 2}, zorder=5)  # fmt: skip
    end = first + len(target.tokens) - 1
    axes.annotate(
        says, (end, target.runs_to), (end + 0.5, target.runs_to), fontsize=SMALL, va="center", parse_math=False
    )
    axes.set(xlim=(-0.7, end + 0.06 * len(says) * 2.6 + 0.6), ylim=(-2.0, depth + 1.3))
    axes.set_yticks(range(depth + 1), [str(layer) for layer in range(depth + 1)])
    axes.set_ylabel("layer", fontsize=FONT)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    save_picture(figure, path)


def shares(masses: Mapping[str, Sequence[tuple[str, float]]], path: Path, title: str) -> None:
    """A bar for each answer, of one piece for each bridge that leads to it: (bridge, probability of both)."""
    figure, axes = sheet(0.42 * len(masses) + 1.2, title)
    for n, pieces in enumerate(masses.values()):
        start = 0.0
        for _, mass in pieces:
            axes.barh(n, mass, left=start, height=0.6, color=COLOURS[0], edgecolor="white")
            start += mass
        bridges = " or ".join(bridge for bridge, _ in pieces)
        axes.text(start, n, f"  {start:.2f}  via {bridges}", va="center", fontsize=SMALL, parse_math=False)
    axes.set_yticks(range(len(masses)), list(masses), fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6 * max(sum(mass for _, mass in pieces) for pieces in masses.values()))
    axes.set_xlabel("P(bridge) x P(answer | bridge)", fontsize=FONT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_picture(figure, path)


def _number(cell: Cell | None) -> float:
    return cell.value if cell is not None and cell.value is not None else 0.0


def _word(text: str, room: int) -> str:
    """On two lines at most, of so many characters each."""
    text = text.replace("\n", "⏎").strip() or "·"
    return textwrap.fill(text, room, max_lines=2, placeholder="…")
