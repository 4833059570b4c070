"""Nothing that hopfix reads is a program: no pickle, from a file or over a wire."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from correction.errors import ModelNotFound
from correction.models import demo_folder, load_model

ROOT = Path(__file__).parent.parent
FILES = sorted(file for package in ("correction", "service", "eval") for file in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
# Calls that unpickle unless they are told not to, and what tells them.
TOLD = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
SAFE_BY_DEFAULT = {"np.load", "numpy.load"}


def modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def unpickling(tree: ast.Module) -> Iterator[str]:
    """The calls that would unpickle."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or (name := ast.unparse(node.func)) not in TOLD:
            continue
        option, safe = TOLD[name]
        given = {keyword.arg: keyword.value for keyword in node.keywords}.get(option)
        told = given is not None and isinstance(given, ast.Constant) and given.value is safe
        if not told and not (given is None and name in SAFE_BY_DEFAULT):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_unpickles(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not UNPICKLERS & set(modules(tree))
    assert not list(unpickling(tree))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("torch.load(f)", 1),
        ("torch.load(f, weights_only=False)", 1),
        ("torch.load(f, weights_only=flag)", 1),
        ("torch.load(f, weights_only=True)", 0),
        ("np.load(f)", 0),
        ("np.load(f, allow_pickle=True)", 1),
    ],
)
def test_what_would_be_found(code: str, found: int) -> None:
    assert len(list(unpickling(ast.parse(code)))) == found


def test_weights_that_are_pickled_are_refused(tmp_path: Path) -> None:
    for file in demo_folder().iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({"lm_head.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="safetensors"):
        load_model(str(tmp_path))
