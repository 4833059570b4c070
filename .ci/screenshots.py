"""The page at / as docs/page.md shows it: the main job done, at three widths, light and dark."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDTHS = (390, 820, 1440)


def main() -> None:
    serve = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            take(next(found[1] for line in server.stderr if (found := re.search(r"listening on (\S+)", line))))
        finally:
            server.kill()


def take(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
                page = context.new_page()
                page.goto(url)
                page.locator("#examples button").first.wait_for(timeout=180_000)
                page.get_by_label("A question of two hops").fill("Who runs the company that makes the Walkman?")
                page.get_by_role("button", name="Ask", exact=True).click()
                page.get_by_role("button", name="Ask at all 36 pairs").click()
                page.get_by_text("36 of 36 answers").wait_for()
                page.get_by_role("button", name="From layer 2 to layer 3:").click()
                page.locator("#pair").wait_for()
                shot = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled")))
                # A few dozen colours are all there is: a quarter of the bytes.
                shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
                    FOLDER / f"page-{width}-{scheme}.png", optimize=True
                )
        browser.close()


if __name__ == "__main__":
    main()
