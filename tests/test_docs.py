"""README and docs say what the repository does: figures as printed, links that lead somewhere.

Their blocks of code are run by tests/end_to_end/test_snippets.py, the site is built by tests/test_site.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from correction.mappings import MAPPINGS
from correction.mappings.files import KINDS
from correction.models import LoadedModel
from correction.patchscope import Patchscope
from correction.profile import Profile
from correction.scopes import SCOPES
from eval.bench.report import markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRAMEWORK = (ROOT / "docs" / "framework.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
REAL = (ROOT / "docs" / "real-model.md").read_text(encoding="utf-8")


def tables(text: str) -> list[str]:
    """The tables of strategies."""
    return re.findall(r"^\| strategy \|.*?(?=\n\n)", text, re.S | re.M)


def test_the_readmes_tables_are_the_printed_ones() -> None:
    """The real model's first, then the bundled one's."""
    assert tables(README) == [tables(REAL)[0], tables(RESULTS)[0]]


def test_the_printed_results_are_of_the_profile_that_comes_with_the_real_model() -> None:
    profile = Profile.load(ROOT / "correction" / "profiles" / "smollm2")
    assert profile.name in REAL
    assert profile.model == "smollm2"


def test_the_printed_results_are_of_the_bundled_weights(demo: LoadedModel) -> None:
    assert demo.fingerprint[:19] in RESULTS


def snippets(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def test_the_json_snippet_is_a_patchscope() -> None:
    (snippet,) = snippets(FRAMEWORK, "json")
    scope = Patchscope.parse(json.loads(snippet))
    assert (scope.source.layer, scope.target.position, scope.mapping) == (6, "x", "vocabulary")


def test_the_tables_of_methods_and_mappings_are_complete() -> None:
    listed = set(re.findall(r"^\| `([a-z_-]+)` \|", FRAMEWORK, re.M))
    assert listed == {*SCOPES, *MAPPINGS, *KINDS} - {"patchscope"}


def test_the_benchmarks_are_the_printed_ones() -> None:
    results = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert markdown(results) == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_endpoint_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    assert not {path for path in paths if f"{path.partition('/{')[0]}`" not in guide}


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("docs/**/*.md")]


def anchors(page: Path) -> set[str]:
    """Those that a code host gives a page's headings."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)", text, re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {f"{slug}-{n}" if n else slug for slug, count in found.items() for n in range(count)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if link.startswith("http"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_promises_name_tests_that_there_are() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/end_to_end/*.py"))
    promised = re.findall(r"`(test_[a-z_]+)\.\.\.`", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))
    assert len(promised) > 5
    for name in promised:
        assert f"def {name}" in tests, name
