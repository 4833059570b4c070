"""A report as blocks: the same document becomes Markdown with pictures beside it, and one page that needs nothing.

It knows nothing of what is reported; a block says what it is, a writer how it looks.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from eval.tables import markdown_table

PICTURES = "pictures"


@dataclass(frozen=True)
class Text:
    """A paragraph or a list, in Markdown."""

    markdown: str


@dataclass(frozen=True)
class Table:
    """All columns but the first are figures. `strong`: the first cells of the rows that stand out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Bars:
    """Shares with their intervals: (name, share, low, high), fractions. Markdown leaves it to the table beside it."""

    rows: Sequence[tuple[str, float, float, float]]


@dataclass(frozen=True)
class Picture:
    """`draw(path)` writes it as PNG or SVG, by the path's ending. name: of its file, without ending."""

    name: str
    alt: str
    draw: Callable[[Path], None]


@dataclass(frozen=True)
class Example:
    """One case to look into: a line, and what is behind it as (what, text)."""

    line: str
    behind: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Cases that one can open; Markdown has the lines alone."""

    cases: Sequence[Example]


@dataclass(frozen=True)
class Code:
    """Shell commands."""

    text: str


Block = Text | Table | Bars | Picture | Examples | Code


@dataclass(frozen=True)
class Section:
    """A heading with its blocks. `folded`: closed at first on the page."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section] = ()


def write_markdown(document: Document, path: Path) -> None:
    """Writes the Markdown, whole or not at all, and its pictures into `pictures` beside it."""
    for picture in _pictures(document):
        picture.draw(path.parent / PICTURES / f"{picture.name}.png")
    _write(path, markdown(document))


def markdown(document: Document) -> str:
    """The report as Markdown."""
    parts = [f"# {document.title}", *_markdown(document.lead)]
    for section in document.sections:
        parts += [f"## {section.title}", *_markdown(section.blocks)]
    return "\n\n".join(parts) + "\n"


def write_html(document: Document, path: Path) -> None:
    """Writes the page, whole or not at all: style and pictures within, no script, no request to anywhere."""
    environment = Environment(loader=PackageLoader("eval.reports", ""), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"kind": lambda block: type(block).__name__, "markdown": _html, "svg": inline_svg}
    _write(path, environment.get_template("page.html").render(document=document) + "\n")


def inline_svg(picture: Picture) -> Markup:
    """The picture as an SVG element whose ink is the page's own, so that it can be read on light and dark."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{picture.name}.svg"
        picture.draw(path)
        text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace("#000000", "currentColor").replace("#dddddd", "var(--faint)")
    # Two pictures of one page may have defined the same names.
    text = re.sub(r'(id="|href="#|url\(#)', lambda found: f"{found[0]}{picture.name}-", text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(picture.alt)}"', 1))  # noqa: S704


def _markdown(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Text():
                yield block.markdown
            case Table():
                cells = [[_cell(cell) for cell in row] for row in block.rows]
                yield markdown_table([_cell(column) for column in block.columns], cells)
            case Picture():
                yield f"![{block.alt}]({PICTURES}/{block.name}.png)"
            case Examples():
                yield "\n".join(f"- {_cell(case.line)}" for case in block.cases) or "None."
            case Code():
                yield f"```\n{block.text}\n```"
            case Bars():
                pass


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _html(text: str) -> Markup:
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))  # noqa: S704, raw HTML stays text


def _pictures(document: Document) -> Iterator[Picture]:
    for blocks in (document.lead, *(section.blocks for section in document.sections)):
        yield from (block for block in blocks if isinstance(block, Picture))


def _write(path: Path, text: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
