"""The page of a served model, as somebody uses it: a real Chromium, clicks and keys, nothing made up in between.

The server's main job is clicked through; every request that the browser makes is listened to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright", reason="the browser's tests run in the core environment")

from playwright.sync_api import Error, Page, Route, expect

from tests.browser import WALKMAN, ask, card, fill, needs_chromium

pytestmark = needs_chromium


def test_the_main_job(page: Page, client: httpx.Client) -> None:
    """Ask, compare, look at the hops and the bridge, find another pair in the heatmap, ask again with it."""
    ask(page)
    expect(card(page, "The model alone")).to_have_text("Debra Crew")
    expect(card(page, "Corrected by hopfix")).to_have_text("Kenichiro Yoshida")
    expect(page.locator("#hops li")).to_have_text(
        ["The company that makes the Walkman is → Sony", "Who runs Sony? → Kenichiro Yoshida"]
    )
    expect(page.locator("#bridge")).to_contain_text(re.compile(r"Sony with probability 9\d\.\d %"))
    expect(page.locator("#how")).to_contain_text("from layer 4 of the first hop and written at layer 0")
    for stage in ("direct", "hop1", "hop2", "total"):
        expect(page.locator("#times")).to_contain_text(re.compile(stage + r"[\d.]+ ms"))

    fill(page)
    body = {"question": WALKMAN, "strategy": "patched", "source_layer": 2, "target_layer": 3, "mapping": "vocabulary"}
    said = client.post("/v1/answer", json=body).json()
    cell = page.get_by_role("button", name="From layer 2 to layer 3:")
    cell.hover()
    expect(page.locator("#grid-cell")).to_contain_text(f"{said['answer']}, confidence")
    cell.click()
    expect(card(page, "From layer 2 to layer 3, vocabulary")).to_have_text(said["answer"])
    expect(page.locator("#how")).to_contain_text("from layer 2 of the first hop and written at layer 3")
    expect(cell).to_have_attribute("aria-pressed", "true")
    expect(card(page, "Corrected by hopfix")).to_have_text("Kenichiro Yoshida")  # beside it still


def test_every_cell_is_what_the_service_says_at_that_pair(page: Page, client: httpx.Client) -> None:
    ask(page)
    fill(page)
    pairs = [(source, target) for source in range(1, 7) for target in range(6)]
    asked = {"question": WALKMAN, "strategy": "patched", "mapping": "vocabulary"}
    body = [asked | {"source_layer": source, "target_layer": target} for source, target in pairs]
    said = [answer["answer"] for answer in client.post("/v1/answer", json=body).json()]
    expect(page.locator("#grid-table td")).to_have_text(said)
    same = page.locator("#grid-table button.same")
    assert same.count() == said.count("Kenichiro Yoshida") > 0
    page.get_by_label("Mapping").first.select_option("identity")
    fill(page)
    body = [entry | {"mapping": "identity"} for entry in body]
    other = [answer["answer"] for answer in client.post("/v1/answer", json=body).json()]
    assert other != said
    expect(page.locator("#grid-table td")).to_have_text(other)


def test_an_example_is_asked_at_a_click(page: Page, client: httpx.Client) -> None:
    [first, *_] = client.get("/v1/profile").json()["examples"]
    page.get_by_role("button", name=first).click()
    expect(card(page, "Corrected by hopfix")).to_have_text("Asia")
    expect(page.get_by_label("A question of two hops")).to_have_value(first)


def test_hops_may_be_given(page: Page) -> None:
    page.get_by_text("Give the hops yourself").click()
    page.get_by_label("First hop").fill("The country where Kruger National Park is located is")
    page.get_by_label("Second hop").fill("The currency of {} is")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(card(page, "Corrected by hopfix")).to_have_text("rand")
    page.get_by_text("Give the hops yourself").click()
    ask(page)  # hops that are folded away are none
    expect(card(page, "Corrected by hopfix")).to_have_text("Kenichiro Yoshida")


def test_what_is_wrong_is_said_and_what_was_on_show_goes(visit: Callable[..., Page], server: Any) -> None:
    page = visit(server.url, forgive="status of 4")
    ask(page)
    expect(card(page, "Corrected by hopfix")).to_be_visible()
    ask(page, "")
    expect(page.get_by_role("alert").first).to_contain_text("question")
    expect(page.locator("#answer")).to_be_hidden()
    ask(page, "What is two?")
    expect(page.locator("#how")).to_contain_text("No state was patched: ")
    expect(page.locator("#grid")).to_be_hidden()
    expect(page.get_by_role("alert").first).to_be_hidden()


def test_a_late_answer_to_something_else_is_not_shown(page: Page) -> None:
    """The first cell's request is held back, a second is chosen, another question asked: the first may not come up."""
    ask(page)
    expect(card(page, "Corrected by hopfix")).to_be_visible()
    held: list[Route] = []
    page.route("**/v1/answer", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    page.get_by_role("button", name="From layer 1 to layer 0").click()
    expect(page.get_by_text("Asking …")).to_be_visible()
    page.unroute("**/v1/answer")
    page.get_by_role("button", name="From layer 2 to layer 1").click()
    expect(card(page, "From layer 2 to layer 1")).to_be_visible()
    ask(page, "Who runs the company that makes the iPhone?")
    expect(card(page, "Corrected by hopfix")).to_have_text("Tim Cook")
    for route in held:
        with suppress(Error):  # of a request that the page has given up
            route.continue_()
    fill(page)
    expect(card(page, "Corrected by hopfix")).to_have_text("Tim Cook")
    expect(page.locator("#pair")).to_have_count(0)
    expect(page.locator("#bridge")).to_contain_text("Apple")


def test_while_it_asks_no_other_answer_is_on_show(page: Page) -> None:
    ask(page)
    expect(card(page, "Corrected by hopfix")).to_be_visible()
    held: list[Route] = []
    page.route("**/v1/answer", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    ask(page, "Who runs the company that makes the iPhone?")
    expect(page.get_by_text("Asking …")).to_be_visible()
    expect(page.locator("#answer")).to_be_hidden()
    held[0].continue_()
    expect(card(page, "Corrected by hopfix")).to_have_text("Tim Cook")
    expect(page.get_by_text("Asking …")).to_be_hidden()


def test_lines_that_end_early_are_not_taken_for_all(page: Page) -> None:
    """What comes between cuts the real response."""

    def cut(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body="".join(response.text().splitlines(keepends=True)[:5]))

    ask(page)
    page.route("**/v1/answer", cut)
    page.get_by_role("button", name="Ask at all 36 pairs").click()
    expect(page.locator("#grid-progress")).to_have_text("The service ended after 5 of 36 answers. Ask again.")


def test_markup_in_a_question_is_text(page: Page) -> None:
    ask(page, "Who runs the company that makes the <img src=x onerror=alert(1)><b>Walkman</b>?")
    expect(page.locator("#answer")).to_be_visible()
    assert page.locator("main img, #answer b").count() == 0


def test_by_keys_alone(page: Page) -> None:
    page.get_by_label("A question of two hops").focus()
    page.keyboard.type(WALKMAN)
    page.keyboard.press("Enter")
    fill(page)
    page.get_by_role("button", name="Ask at all 36 pairs").focus()
    page.keyboard.press("Tab")  # one stop for the whole grid
    expect(page.get_by_role("button", name="From layer 1 to layer 0:")).to_be_focused()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowUp"):  # the last leads nowhere
        page.keyboard.press(key)
    cell = page.get_by_role("button", name="From layer 1 to layer 1:")
    expect(cell).to_be_focused()
    page.keyboard.press("Enter")
    expect(card(page, "From layer 1 to layer 1, vocabulary")).to_be_visible()

    page.get_by_role("tab", name="Ask").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Profile")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Profile")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tabpanel", name="Patchscope")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.get_by_role("tabpanel", name="Ask")).to_be_visible()
