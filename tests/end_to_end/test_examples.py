"""examples/ as people run them: each script a process against a real service, the notebook by Jupyter's executor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.pipelines
EXAMPLES = Path(__file__).parents[2] / "examples"
URL = "http://127.0.0.1:8000"
VIA = "Kenichiro Yoshida via Sony\n"
HOP1 = "Sony has made the Walkman since 1979.\nThe company that makes the Walkman is\n"
PRINTS = {
    "ask_dspy.py": f"{VIA}Kenichiro Yoshida\n",
    "ask_haystack.py": VIA + HOP1,
    "ask_langchain.py": f"{VIA}Kenichiro Yoshida\n",
    "ask_llamaindex.py": VIA + HOP1,
}
SAYS = {
    "ask": """\
direct:    Debra Crew
corrected: Kenichiro Yoshida via Sony
hop:       The company that makes the Walkman is -> Sony
hop:       Who runs {}? -> Kenichiro Yoshida
patch:     Choice(source_layer=4, target_layer=0, mapping='vocabulary')
""",
    "lens": "South Africa 1.00",
    "attribute": "The currency of {} is rand\nThe capital of {} is Pretoria\nThe calling code of {} is +27\n",
    "swap": "Kruger National Park -> rand\nMount Fuji -> yen\nthe Taj Mahal -> rupee\n",
}
QUIET = {"HAYSTACK_TELEMETRY_ENABLED": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_a_script_prints_what_it_should(script: str, server: Any, tmp_path: Path) -> None:
    code = (EXAMPLES / script).read_text(encoding="utf-8")
    assert URL in code
    copy = tmp_path / script
    copy.write_text(code.replace(URL, server.url), encoding="utf-8")
    command = [sys.executable, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **QUIET})
    assert (done.returncode, done.stdout) == (0, PRINTS[script]), done.stderr


def test_the_notebook_says_and_shows_what_it_should(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for cell, said in SAYS.items():
        assert said in "".join(map(text, cells[cell])), cell
    [picture] = cells["grid"]
    assert picture["data"]["image/png"]
    assert cells["end"] == []
    assert list(tmp_path.iterdir()) == []


def text(output: Any) -> str:
    """What a reader sees of an output."""
    return str(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])
