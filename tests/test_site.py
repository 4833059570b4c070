"""The documentation's site: built strictly, every link and anchor in it leads somewhere, and it asks no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

if find_spec("mkdocs") is None:  # in the stages' own environments
    pytest.skip("MkDocs is not installed", allow_module_level=True)

from tests.browser import chromium, needs_chromium

ROOT = Path(__file__).parent.parent
LOADS = {
    "img": "src",
    "script": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
LOADED_LINKS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "prefetch", "manifest"}


@dataclass
class Page(HTMLParser):
    """What a page of HTML has: anchors, links, and what a browser loads with it."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADS and LOADS[tag] in given:
            self.loads.append(given[LOADS[tag]])
        if tag == "link" and LOADED_LINKS & set(given.get("rel", "").split()):
            self.loads.append(given["href"])
        for style in (given.get("style", ""), given.get("srcset", "")):
            self.loads += re.findall(r"url\(['\"]?([^'\")]+)", style)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.name)
def test_every_page_of_docs_is_in_the_navigation(page: Path) -> None:
    _, _, navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")
    assert re.search(rf"[ :-] {re.escape(page.relative_to(ROOT / 'docs').as_posix())}$", navigation, re.M)


def test_links_and_anchors_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":  # its links are from the site's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(site)}: {link}"
            checked += 1
    assert checked > 1000


def test_a_layer_keeps_its_star(site: Path) -> None:
    for page in ("framework.html", "reference/patchscopes.html"):
        assert "(T, i*, f, M*, l*)" in (site / page).read_text(encoding="utf-8")


def test_the_start_is_the_readmes(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    assert "hopfix repairs this inside the model." in start
    assert 'href="http.html"' in start  # docs/http.md, as the README has it


def test_no_page_asks_another_host(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert page.loads
        for loaded in page.loads:
            parts = urlsplit(loaded)
            assert not parts.netloc, f"{path.relative_to(site)}: {loaded}"
            if not parts.scheme and path.name != "404.html":
                assert (path.parent / unquote(parts.path)).is_file(), f"{path.relative_to(site)}: {loaded}"
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s]+)", sheet.read_text(encoding="utf-8")):
            assert not urlsplit(url).netloc, f"{sheet.relative_to(site)}: {url}"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *given: object) -> None:
        pass


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@needs_chromium
def test_a_browser_searches_and_turns_dark_without_another_host(served: str) -> None:
    from playwright.sync_api import expect

    wrong: list[str] = []
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark")
        page.on("request", lambda request: None if request.url.startswith(served) else wrong.append(request.url))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.goto(f"{served}index.html", wait_until="networkidle")  # the search's worker listens
        page.get_by_role("textbox", name="Search").click()
        page.keyboard.type("early exit", delay=20)
        expect(page.locator(".md-search-result__item").filter(has_text="How it works").first).to_be_visible()
        assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert not wrong
