"""Pictures of results: how far a confidence can be believed, and what each layer is good for. PNG or SVG by the path.

Drawn 7 inches wide with letters of 8 points or more: readable on a page that shows the picture 700 pixels wide. Colours
are those of Okabe and Ito, and cividis: they differ in lightness, too, for readers who do not see all hues.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest

from correction.errors import InvalidInput

SOURCE, TARGET = "source layer l", "target layer l*"
WIDTH, DPI, FONT, SMALL = 7.0, 200, 9, 8  # inches, dots an inch, points, points
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
MARKERS, DASHES = "osD^vPX", ("-", "--", "-.", ":")
TOPS = (0.1, 0.25, 0.5, 1.0)  # where a heatmap's colours may end: few, so that most pictures compare
DIGIT, AIR = 0.075, 0.04  # inches that a digit takes, and a cell's number has around it


def reliability_diagram(points: Sequence[tuple[float, float, int]], path: Path, title: str) -> None:
    """Accuracy over confidence, one dot a bin: points (mean confidence, accuracy, questions), all fractions, as
    `eval.statistics.reliability` gives them. On the diagonal a confidence is what it says; bars are exact 95 %
    intervals (Clopper and Pearson). Below, how many questions each bin holds."""
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    _title(axes, title)
    lowest = 1.0
    for sure, accuracy, count in points:
        exact = binomtest(round(accuracy * count), count).proportion_ci(0.95, "exact")
        axes.plot([sure, sure], [exact.low, exact.high], color=COLOURS[0], linewidth=1.3, alpha=0.6)
        lowest = min(lowest, sure, exact.low)
    sures = [sure for sure, _, _ in points]
    label = "accuracy of a bin, 95 % interval"
    axes.plot(sures, [accuracy for _, accuracy, _ in points], "o", color=COLOURS[0], markersize=5, label=label)
    axes.plot([0, 1], [0, 1], color="#777777", linestyle="--", linewidth=1, zorder=1, label="confidence = accuracy")
    start = math.floor(10 * lowest) / 10 if points else 0.0  # a model that is always sure needs no room for doubt
    margin = 0.02 * (1 - start) or 0.02
    for name in ("x", "y"):
        axes.set(**{f"{name}lim": (start - margin, 1 + margin)})
    axes.set_ylabel("accuracy", fontsize=FONT)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(fontsize=SMALL, loc="best", frameon=False)
    below.vlines(sures, 0, [count for _, _, count in points], color=COLOURS[0], linewidth=3)
    below.set_ylim(0, 1.15 * max((count for _, _, count in points), default=1))
    below.set_ylabel("questions", fontsize=FONT)
    below.set_xlabel("mean confidence of a bin", fontsize=FONT)
    for panel in (axes, below):
        panel.tick_params(labelsize=SMALL)
        _clean(panel)
    save_picture(figure, path)


def layer_heatmap(
    cells: Mapping[tuple[int, int], float], path: Path, title: str, chosen: tuple[int, int] | None = None
) -> None:
    """Accuracy (a fraction) of each pair (l, l*): source layers are rows, target layers columns, both by their number.

    Cells say their accuracy in percent where the columns are wide enough; a pair that is missing stays grey; `chosen`
    is outlined. Colours end at 10, 25, 50 or 100 %, whichever holds every cell: weak grids can be read, and compared.
    """
    if not cells:
        raise ValueError("a heatmap needs a cell")
    rows, columns = sorted({source for source, _ in cells}), sorted({target for _, target in cells})
    cell = min(0.55, 5.6 / len(columns))
    height = len(rows) * max(0.75 * cell, 0.05)
    figure, axes = sheet(max(2.4, height + 1.3), title)
    top = next(top for top in TOPS if max(cells.values()) <= top or top == TOPS[-1])
    colours = colormaps["cividis"].with_extremes(bad="#dddddd")
    values = [[cells.get((row, column), math.nan) for column in columns] for row in rows]
    image = axes.imshow(values, cmap=colours, vmin=0, vmax=top, aspect="auto")
    texts = {pair: f"{100 * value:.0f}" for pair, value in cells.items()}
    if cell >= DIGIT * max(map(len, texts.values())) + AIR:
        for n, row in enumerate(values):
            for m, value in enumerate(row):
                if math.isfinite(value):
                    ink = (
                        "#fefefe" if value < 0.5 * top else "#010101"
                    )  # not the page's ink: the cell is what is behind
                    axes.text(m, n, texts[rows[n], columns[m]], ha="center", va="center", fontsize=SMALL, color=ink)
    for axis, layers, room in ((axes.xaxis, columns, cell), (axes.yaxis, rows, height / len(rows))):
        every = math.ceil(0.2 / room)
        axis.set_ticks(range(0, len(layers), every), [str(layer) for layer in layers[::every]])
    axes.tick_params(length=0)
    axes.set_xlabel(TARGET, fontsize=FONT)
    axes.set_ylabel(SOURCE, fontsize=FONT)
    if chosen is not None:
        corner = (columns.index(chosen[1]) - 0.5, rows.index(chosen[0]) - 0.5)
        # White below red: one of the two stands out from any cell.
        for colour, width in (("white", 4.5), ("#D5201E", 2.2)):
            axes.add_patch(
                Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width, clip_on=False, zorder=3)
            )
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, format=PercentFormatter(1, decimals=0))
    bar.set_label("accuracy", fontsize=FONT)
    bar.ax.tick_params(labelsize=SMALL)
    save_picture(figure, path)


def layer_curves(
    curves: Mapping[str, Mapping[int, float]], path: Path, title: str, *, layers: str = SOURCE, share: str = "accuracy"
) -> None:
    """Accuracy (a fraction) over the layer, a line a name; `layers` says which layer it is, `share` what of."""
    figure, axes = sheet(3.9, title)
    for number, (name, curve) in enumerate(curves.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        dashes = DASHES[number % len(DASHES)]  # four to seven colours: 28 lines before two look alike
        (line,) = axes.plot(
            sorted(curve), [curve[layer] for layer in sorted(curve)], color=colour, marker=marker, linestyle=dashes,
            markersize=4, linewidth=1.5,
        )  # fmt: skip
        line.set_label(name)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(layers, fontsize=FONT)
    axes.set_ylabel(share, fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    if curves:
        legend = figure.legend(loc="outside lower center", ncols=min(3, len(curves)), fontsize=SMALL, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    _clean(axes)
    save_picture(figure, path)


def sheet(height: float, title: str) -> tuple[Figure, Axes]:
    """An empty picture as wide as all of them, so many inches high."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    _title(axes, title)
    axes.tick_params(labelsize=SMALL)
    return figure, axes


def _title(axes: Axes, title: str) -> None:
    axes.set_title(textwrap.fill(title, 74), fontsize=10, loc="left", parse_math=False)  # a name may hold "$"


def _clean(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_picture(figure: Figure, path: Path) -> None:
    """Writes the PNG, or the SVG, whole or not at all; raises `InvalidInput` if it cannot be written."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".svg":  # for a page: its letters as text, its paper that of the page
            with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hopfix"}):
                figure.savefig(partial, format="svg", transparent=True, metadata={"Date": None})
        else:
            figure.savefig(partial, format="png", dpi=DPI)
        partial.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}", hint=error.strerror or str(error), param="picture") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
