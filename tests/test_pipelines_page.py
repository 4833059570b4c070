"""docs/pipelines.md and examples/: the page shows the examples as they are, and their table names every one."""

from __future__ import annotations

import json
import re
from pathlib import Path

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


def test_every_adapter_is_an_extra_of_its_name() -> None:
    extras = set(re.findall(r"hopfix\[(\w+)\]", PAGE))
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert extras == {path.stem for path in (ROOT / "service" / "pipelines").glob("*.py")} - {"asking", "__init__"}
    for extra in extras:
        assert re.search(rf"^{extra} = \[", pyproject, re.M), extra
