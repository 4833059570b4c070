"""The page at /, as files: what a browser is told about them. The tests of its views (end_to_end) click through it."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from correction.mappings import MAPPINGS

pytestmark = pytest.mark.anyio
PAGE = {file.name: file.read_text(encoding="utf-8") for file in files("service").joinpath("page").iterdir()}


async def test_it_is_there_without_a_key(connect) -> None:
    async with connect(api_key="sesame") as client:
        page = await client.get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.text == PAGE["index.html"]


@pytest.mark.parametrize("name", sorted(PAGE))
async def test_a_browser_is_told_to_load_nothing_from_elsewhere(connect, name: str) -> None:
    async with connect() as client:
        part = await client.get(f"/page/{name}")
    assert part.text == PAGE[name]
    policy = dict(rule.partition(" ")[::2] for rule in part.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("form-action") == policy.pop("base-uri") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert {rule for name, rule in policy.items() if name.endswith("-src")} == {"'self'"}
    assert part.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2fapp.py", "../app.py", "%2e%2e/app.py"])
async def test_nothing_else_is_given(connect, name: str) -> None:
    async with connect() as client:
        assert (await client.get(f"/page/{name}")).status_code == 404


def test_it_names_only_files_that_there_are() -> None:
    """By relative addresses, so that it works behind a proxy that serves it under a path."""
    named = re.findall(r'(?:src|href)="([^"]+)"', PAGE["index.html"])
    assert len(named) > 3
    assert {name.removeprefix("page/") for name in named} <= {*PAGE, "openapi.json"}
    imported = re.findall(r'from "([^"]+)"', "".join(text for name, text in PAGE.items() if name.endswith(".js")))
    assert {name.removeprefix("./") for name in imported} <= set(PAGE)


def test_it_offers_the_mappings_that_there_are() -> None:
    [listed] = re.findall(r"const MAPPINGS = \[(.*)\]", PAGE["page.js"])
    assert re.findall(r'"(\w+)"', listed) == list(MAPPINGS)


def test_every_id_that_is_looked_for_is_in_it() -> None:
    code = "".join(text for name, text in PAGE.items() if name.endswith(".js"))
    sought = set(re.findall(r'byId\("([\w-]+)"\)', code)) - {"pair"}
    assert len(sought) > 20
    assert sought <= set(re.findall(r'id="([\w-]+)"', PAGE["index.html"]))
