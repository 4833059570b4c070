"""README and docs say what the repository does: figures as printed, snippets that run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from correction.mappings import MAPPINGS
from correction.mappings.files import KINDS
from correction.models import LoadedModel
from correction.patchscope import Patchscope
from correction.scopes import SCOPES
from eval.bench.report import markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRAMEWORK = (ROOT / "docs" / "framework.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def first_table(text: str) -> str:
    found = re.search(r"^\| strategy \|.*?(?=\n\n)", text, re.S | re.M)
    assert found
    return found.group()


def test_the_readmes_table_is_the_printed_one() -> None:
    assert first_table(README) == first_table(RESULTS)


def test_the_printed_results_are_of_the_bundled_weights(demo: LoadedModel) -> None:
    assert demo.fingerprint[:19] in RESULTS


def snippets(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.mark.parametrize(
    ("text", "prints"), [(README, "Kenichiro Yoshida via Sony\n"), (FRAMEWORK, "rand\nrand (6, 6)\n")]
)
def test_the_python_snippet_runs(text: str, prints: str) -> None:
    (snippet,) = snippets(text, "python")
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, prints), done.stderr


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


def test_the_readmes_lens_is_what_the_command_prints() -> None:
    prompt = "The country where Kruger National Park is located is"
    command = [sys.executable, "-m", "service.cli", "inspect", "logit-lens", prompt, "--position", "-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()).rstrip()
    assert printed
    assert printed in README


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_promises_name_tests_that_there_are() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/end_to_end/*.py"))
    promised = re.findall(r"`(test_[a-z_]+)\.\.\.`", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))
    assert len(promised) > 5
    for name in promised:
        assert f"def {name}" in tests, name
