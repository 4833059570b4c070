"""The page's other views, its key, and that everybody can use it: every width, light and dark, by axe-core's rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright", reason="the browser's tests run in the core environment")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser import ask, card, fill, needs_chromium

pytestmark = needs_chromium
WIDTHS = (390, 820, 1440)
PHRASE = "open-sesame"


def test_any_patchscope(visit: Callable[..., Page], server: Any) -> None:
    page = visit(server.url, forgive="status of 4")
    page.get_by_role("tab", name="Patchscope").click()
    page.get_by_role("button", name="token 4: x").click()
    expect(page.locator("#target-position")).to_have_value("4")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#outcome-text")).to_have_text("rand")

    page.locator("#target-position").fill("no such text")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#scope-failure")).to_contain_text("no such text")
    expect(page.locator("#outcome")).to_be_hidden()

    page.get_by_text("As JSON, which is what is sent").click()
    page.get_by_label("Edit it for several states").fill("{")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#scope-failure")).to_contain_text("no JSON")
    page.get_by_label("Edit it for several states").fill(
        '{"source": {"prompt": "The company that makes the Walkman is", "layer": [6], "position": [-1]},'
        '"target": {"prompt": "The CEO of x is", "layer": [0], "position": ["x"]}, "mapping": "vocabulary"}'
    )
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#outcome-text")).to_have_text("Kenichiro Yoshida")


def test_an_answers_hops_as_a_patchscope(page: Page) -> None:
    page.get_by_role("button", name="GeForce").click()
    page.get_by_role("button", name="Try these hops in a Patchscope").click()
    expect(page.get_by_label("Prompt").first).to_have_value("The maker of GeForce is")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#outcome-text")).to_have_text("Jensen Huang")


def test_the_profile_and_its_evidence(page: Page, client: httpx.Client) -> None:
    profile = client.get("/v1/profile").json()
    page.get_by_role("tab", name="Profile").click()
    panel = page.get_by_role("tabpanel", name="Profile")
    expect(panel).to_contain_text(profile["name"])
    for figure in ("direct", "two_step", "cross_validated"):
        expect(panel).to_contain_text(f"{100 * profile['evidence'][figure]:.1f} %")
    expect(panel).to_contain_text(f"{profile['evidence']['fixed']} that direct had wrong")
    expect(panel.get_by_role("row").nth(1)).to_contain_text("vocabulary")


def test_a_key_is_typed_in_and_kept_nowhere(
    visit: Callable[..., Page], launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPFIX_API_KEY", PHRASE)
    locked = launch(tmp_path)
    try:
        locked.wait_until_ready()
        page = visit(locked.url, forgive="status of 401")
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        expect(page.get_by_role("status").first).to_contain_text("API key is missing or wrong")
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("API key is missing or wrong")
        page.get_by_label("API key").fill(PHRASE)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_text("demo on hf")).to_be_visible()
        ask(page)
        expect(card(page, "Corrected by hopfix")).to_have_text("Kenichiro Yoshida")
        fill(page)
        assert not [address for address in [*addresses, page.url] if PHRASE in address]
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert PHRASE not in page.content()
    finally:
        locked.process.kill()
        locked.process.wait()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(visit: Callable[..., Page], server: Any, scheme: str) -> None:
    """By axe-core's rules (WCAG 2, contrast among them), on every tab, with something on show."""
    page = visit(server.url, color_scheme=scheme, reduced_motion="reduce")
    ask(page)
    fill(page)
    for tab in ("Ask", "Patchscope", "Profile"):
        page.get_by_role("tab", name=tab).click()
        if tab == "Patchscope":
            page.get_by_role("button", name="Run").click()
            expect(page.locator("#outcome")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits(visit: Callable[..., Page], server: Any, width: int) -> None:
    """No width needs scrolling sideways, and what was typed can be read."""
    page = visit(server.url, viewport={"width": width, "height": 800})
    ask(page)
    fill(page)
    assert page.locator("#grid-table th").evaluate_all("all => all.every(th => th.scrollWidth <= th.clientWidth)")
    for tab in ("Ask", "Patchscope", "Profile"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_it_waits_for_a_service_that_is_loading(visit: Callable[..., Page], launch: Any, tmp_path: Path) -> None:
    starting = launch(tmp_path)
    try:
        page = visit(starting.url, forgive="status of 503")
        expect(page.get_by_text("demo on hf")).to_be_visible()
        expect(page.get_by_role("group", name="Examples").get_by_role("button").first).to_be_visible()
    finally:
        starting.process.kill()
        starting.process.wait()
