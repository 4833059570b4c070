"""Chromium as the tests use it, and what people do on the page of a served model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the browser's tests run in the core environment")

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make chromium)")

# As root there is no sandbox; the rest keeps it from asking for updates.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
expect.set_options(timeout=120_000)  # an answer takes as long as it takes on a machine with other work
WALKMAN = "Who runs the company that makes the Walkman?"


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def ask(page: Page, question: str = WALKMAN) -> None:
    page.get_by_label("A question of two hops").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def card(page: Page, title: str) -> Any:
    return page.locator("#answers section").filter(has_text=title).locator(".said")


def fill(page: Page) -> None:
    page.get_by_role("button", name="Ask at all 36 pairs").click()
    expect(page.get_by_text("36 of 36 answers")).to_be_visible()
