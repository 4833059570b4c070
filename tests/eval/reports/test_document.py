"""A document's two writings: Markdown with pictures beside it, and one page that needs nothing and trusts nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eval.pictures import layer_curves, layer_heatmap
from eval.reports.document import (
    Bars,
    Code,
    Document,
    Example,
    Examples,
    Picture,
    Section,
    Table,
    Text,
    markdown,
    write_html,
    write_markdown,
)

EVIL = '<script>alert("x")</script> | & \n`${7*7}` {{ 7*7 }} </details>'
CELLS = {(1, 0): 0.1, (1, 1): 0.9}
DOCUMENT = Document(
    f"Title {EVIL}",
    [Text("A *paragraph* with `code`."), Text(EVIL), Bars([("direct", 0.1, 0.05, 0.2), (EVIL, 1.0, 0.9, 1.0)])],
    [
        Section("Tables", [Table(["name", EVIL], [["direct", "1"], [EVIL, EVIL]], frozenset({"direct"}))]),
        Section(
            "Pictures",
            [
                Picture("one", EVIL, lambda path: layer_heatmap(CELLS, path, "One")),
                Picture("two", "Two", lambda path: layer_curves({"a": {1: 0.5, 2: 0.7}}, path, "Two")),
            ],
        ),
        Section(EVIL, [Examples([Example(EVIL, [("gold", EVIL)])]), Examples([]), Code(EVIL)], folded=True),
    ],
)


class Page(HTMLParser):
    """What a page would fetch or run, and whether its elements close."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "path", "use", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        links = [v for name, v in attrs if name in ("src", "href", "xlink:href", "action") and v]
        self.fetched += [link for link in links if not link.startswith(("#", "data:image/png;base64,"))]
        self.fetched += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> str:
    write_html(DOCUMENT, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_needs_nothing_and_runs_nothing(page: str) -> None:
    read = Page(page)
    assert not read.open
    assert not read.fetched
    assert not {"script", "link", "iframe", "img"} & set(read.tags)
    assert "url(http" not in page
    assert "@import" not in page


def test_what_a_model_said_stays_text(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "49" not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL), "nothing is evaluated"


def test_pictures_of_one_page_do_not_share_names(page: str) -> None:
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)
    assert page.count('role="img"') == 2


def test_markdown_keeps_its_tables_and_has_its_pictures(tmp_path: Path) -> None:
    write_markdown(DOCUMENT, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text == markdown(DOCUMENT)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, "no cell breaks its row"
    for name in ("one", "two"):
        assert f"](pictures/{name}.png)" in text
        assert (tmp_path / "pictures" / f"{name}.png").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pictures", "report.md"]


def test_a_folded_section_is_closed_at_first(page: str) -> None:
    assert page.count("<details>") == 1
    assert page.count('<details class="case">') == 1
    assert "<p>None.</p>" in page
