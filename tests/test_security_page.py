"""The threat model names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.findall(
    r"`((?:[\w/]+/)?(?:test_\w+\.py(?:::test_\w+)?|vllm_plugin))`", (ROOT / "docs/security.md").read_text()
)


def test_every_threat_names_some() -> None:
    rows = re.findall(r"^\| .* \|$", (ROOT / "docs/security.md").read_text().split("## Threats")[1], re.M)[2:]
    assert len(rows) > 20
    assert not [row for row in rows if not re.search(r"`[\w/]*test_\w+\.py|vllm_plugin", row)]


@pytest.mark.parametrize("name", sorted(set(NAMED)))
def test_it_exists(name: str) -> None:
    path, _, function = name.partition("::")
    file = ROOT / "tests" / path
    assert file.exists()
    if function:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert function in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
