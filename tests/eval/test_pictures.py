"""Pictures: whole PNG files of a fixed width, whatever the data looks like. How they look was checked by eye."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from correction.errors import InvalidInput
from eval.pictures import layer_curves, layer_heatmap, reliability_diagram

Drawn = Callable[[], Figure]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figure that was saved last."""
    figures: list[Figure] = []
    save = Figure.savefig

    def remember(figure: Figure, *args: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return lambda: figures[-1]


def grid(rows: int, columns: int, accuracy: float = 0.2) -> dict[tuple[int, int], float]:
    return {(row, column): accuracy for row in range(1, rows + 1) for column in range(columns)}


@pytest.mark.parametrize("points", [[], [(1.0, 1.0, 1)], [(0.2, 0.1, 30), (0.7, 0.5, 30), (0.99, 1.0, 31)]])
def test_a_reliability_diagram_has_a_dot_a_bin(
    points: list[tuple[float, float, int]], tmp_path: Path, drawn: Drawn
) -> None:
    path = tmp_path / "reliability.png"
    reliability_diagram(points, path, "Confidence of deployed, $ and all")
    assert imread(path).shape[1] == 1400  # twice 700, for sharp screens
    axes, below = drawn().axes
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(zip(*dots.get_data(), strict=True)) == [(sure, accuracy) for sure, accuracy, _ in points]
    assert (axes.get_ylabel(), below.get_xlabel()) == ("accuracy", "mean confidence of a bin")
    low, high = axes.get_xlim()
    assert all(low < sure < high for sure, _, _ in points)
    assert axes.get_xlim() == axes.get_ylim()  # or the diagonal would not be one


def test_a_heatmap_has_source_layers_as_rows_and_says_the_percent(tmp_path: Path, drawn: Drawn) -> None:
    cells = {(1, 0): 0.0, (1, 1): 0.104, (2, 0): 1.0}
    layer_heatmap(cells, tmp_path / "grid.png", "Identity", chosen=(2, 0))
    axes = drawn().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("target layer l*", "source layer l")
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "0", (1, 0): "10", (0, 1): "100"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]
    assert {patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)} == {(-0.5, 0.5)}


def test_a_heatmap_of_some_layers_names_them_by_their_numbers(tmp_path: Path, drawn: Drawn) -> None:
    cells = {(source, target): 0.1 for source in (3, 15, 30) for target in (0, 12)}
    layer_heatmap(cells, tmp_path / "grid.png", "Identity", chosen=(30, 12))
    axes = drawn().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["3", "15", "30"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "12"]
    assert {patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)} == {(0.5, 1.5)}


@pytest.mark.parametrize(("layers", "numbers"), [(6, True), (28, True), (80, False)])
def test_numbers_are_left_out_where_they_do_not_fit(layers: int, numbers: bool, tmp_path: Path, drawn: Drawn) -> None:
    path = tmp_path / "grid.png"
    layer_heatmap(grid(layers, layers), path, f"{layers} layers")
    assert imread(path).shape[1] == 1400
    axes = drawn().axes[0]
    assert bool(axes.texts) is numbers
    FigureCanvasAgg(drawn()).draw()
    for labels in (axes.get_xticklabels(), axes.texts[:layers]):
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(("best", "top"), [(0.04, 0.1), (0.1, 0.1), (0.18, 0.25), (0.4, 0.5), (0.97, 1.0)])
def test_colours_end_where_pictures_still_compare(best: float, top: float, tmp_path: Path, drawn: Drawn) -> None:
    layer_heatmap(grid(3, 3, best), tmp_path / "grid.png", "Identity")
    assert drawn().axes[0].images[0].get_clim() == (0, top)


def test_a_heatmap_of_nothing_or_with_a_choice_outside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a cell"):
        layer_heatmap({}, tmp_path / "grid.png", "Identity")
    with pytest.raises(ValueError, match="9"):
        layer_heatmap(grid(2, 2), tmp_path / "grid.png", "Identity", chosen=(9, 0))
    assert not list(tmp_path.iterdir())


def test_curves_are_told_apart_without_colour(tmp_path: Path, drawn: Drawn) -> None:
    curves = {f"name {number}": {2: 0.5, 1: number / 9} for number in range(9)}
    layer_curves(curves, tmp_path / "curves.png", "By layer")
    axes = drawn().axes[0]
    assert [line.get_label() for line in axes.lines] == list(curves)
    assert list(axes.lines[3].get_xdata()) == [1, 2]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}) == 9
    assert axes.get_xlabel() == "source layer l"
    layer_curves({}, tmp_path / "none.png", "No line")


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "curves.png"
    layer_curves({"a": {1: 0.5}}, path, "Old")
    old = path.read_bytes()

    def full(figure: Figure, partial: Path, **options: object) -> None:
        partial.write_bytes(b"\x89PNG half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(InvalidInput, match=r"cannot write .*curves\.png: No space left"):
        layer_curves({"a": {1: 0.9}}, path, "New")
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot write"):
        layer_curves({"a": {1: 0.9}}, tmp_path / "file" / "curves.png", "New")
