"""docs/pipelines.md and examples/: the page shows the examples as they are, and their table names every one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples"


def test_the_pages_snippets_are_the_examples() -> None:
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    files = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert len(files) == 4
    assert sorted(snippets) == sorted(files.values())


def test_every_example_is_in_the_table() -> None:
    table = re.findall(r"^\| \[([^]]+)\]\(\1\) \|", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(table) == sorted(
        path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"
    )


def test_the_links_of_the_examples_table_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")):
        assert (EXAMPLES / link).exists(), link


def test_the_notebook_is_committed_without_what_it_printed() -> None:
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 4
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


def test_every_adapter_is_an_extra_of_its_name_that_allows_the_pinned_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints-pipelines.txt").read_text(), re.M))
    adapters = {path.stem for path in (ROOT / "service" / "pipelines").glob("*.py")} - {"asking", "__init__"}
    assert set(re.findall(r"hopfix\[(\w+)\]", PAGE)) == adapters
    for adapter in adapters:
        for needed in map(Requirement, extras[adapter]):
            assert pinned[needed.name] in needed.specifier, needed
