"""The pictures of docs/how-it-works.md come from a command, and the figures on that page are those it prints."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from correction.scopes.table import Axis, Cell, Table
from eval.explained.__main__ import main
from eval.explained.drawing import shares, transposed, word_table

DOCS = Path(__file__).parents[2] / "docs"
TABLE = Table(
    "lens",
    "A lens",
    Axis("layer", ("0", "1")),
    Axis("token", ("who", "runs", "it")),
    "probability",
    (
        (Cell("who", 1.0), Cell("runs", 0.6), None),
        (Cell("Sony", 0.2), Cell("a much longer answer", 0.9), Cell("Sony", 1)),
    ),
)


def test_the_pages_figures_and_pictures_are_what_the_command_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(main(tmp_path))
    page = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() in page
    drawn = {path.name for path in tmp_path.iterdir()}
    assert len(drawn) == 8
    for name in drawn:
        assert f"(pictures/{name})" in page
        drawn_now, shown = imread(tmp_path / name), imread(DOCS / "pictures" / name)
        assert drawn_now.shape == shown.shape
        assert abs(drawn_now - shown).mean() < 0.001, name  # one word more or less is more than that


def test_rows_become_columns() -> None:
    turned = transposed(TABLE)
    assert turned.rows == TABLE.columns
    assert turned.cells[2] == (None, Cell("Sony", 1))
    assert transposed(turned) == TABLE


@pytest.mark.parametrize(("marked", "outlined", "label"), [("Sony", 2, "it"), ("Diageo", 0, "it: in no cell")])
def test_what_is_looked_for_is_outlined(
    marked: str, outlined: int, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, partial, **_: (figures.append(figure), partial.touch()))
    word_table(TABLE, tmp_path / "lens.png", "A lens", marked=marked, label="it")
    (figure,) = figures
    axes = figure.axes[0]
    assert len(axes.patches) == outlined
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [label]
    assert {text.get_text() for text in axes.texts} >= {"who", "Sony", "·"}


def test_bridges_that_agree_share_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, partial, **_: (figures.append(figure), partial.touch()))
    shares({"Africa": [("Togo", 0.3), ("Chad", 0.2)], "Asia": [("Laos", 0.1)]}, tmp_path / "shares.png", "Continents")
    axes = figures[0].axes[0]
    assert [round(bar.get_x() + bar.get_width(), 9) for bar in axes.patches] == [0.3, 0.5, 0.1]
    assert axes.texts[0].get_text().strip() == "0.50  via Togo or Chad"
