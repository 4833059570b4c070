"""The arrows of the house: service -> correction <- eval, and no others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "correction": {"service", "eval", "fastapi", "starlette", "uvicorn"},
    "service": {"eval", "torch"},
    "eval": {"service", "fastapi", "starlette", "uvicorn"},
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(ROOT)): found for f in files if (found := imports(f) & FORBIDDEN[package])}
    assert not wrong


def test_help_imports_no_torch() -> None:
    code = "import sys, service.cli as c\ntry: c.main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("answer", "serve", "eval", "calibrate", "inspect", "fit", "bench", "train-demo"):
        assert command in done.stdout
