"""`hopfix fit`: from a file of texts to a mapping that can be named, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from correction.errors import InvalidInput
from correction.mappings import check_fitted_for, mapping_named
from correction.models import LoadedModel
from eval.commands.fit import command, read_texts


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*arguments, "--device", "cpu", "--dtype", "float32"])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("The country where Kyoto lies is Japan\n\nThe company that makes the Walkman is Sony\n" * 5)
    return path


def test_a_mapping_is_fitted_and_can_be_named(demo: LoadedModel, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "ridge.safetensors"
    done = run("--texts", str(texts), "--source-layer", "4", "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["kind"], printed["source_layer"], printed["target_layer"]) == ("ridge", 4, demo.parts.depth)
    assert printed["explained"] > 0.9  # the texts repeat
    mapping = mapping_named(str(out))
    assert check_fitted_for(mapping, demo.fingerprint, demo.fingerprint, 4, demo.parts.depth) == []


def test_it_says_what_was_fitted(texts: Path, tmp_path: Path) -> None:
    done = run(
        *("--texts", str(texts), "--source-layer", "4", "--out", str(tmp_path / "p.safetensors")),
        *("--kind", "procrustes", "--target-layer", "5"),
    )
    assert done.exit_code == 0, done.output
    assert "procrustes, layer 4 -> 5, widths 128 -> 128" in done.stdout
    assert "min sum ||W h + b - t||^2, W with orthonormal columns" in done.stdout
    assert "of the variance of held-out pairs" in done.stdout


def test_a_name_that_is_refused_is_refused_before_the_model_is_loaded(texts: Path, tmp_path: Path) -> None:
    done = run("--texts", str(texts), "--source-layer", "4", "--out", str(tmp_path / "m.pt"), "--model", "/nowhere")
    assert isinstance(done.exception, InvalidInput)
    assert "end it in .safetensors" in str(done.exception)
    assert run("--texts", str(texts), "--source-layer", "4", "--out", "m.safetensors", "--kind", "magic").exit_code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot read"), (b"", "holds no text"), (b" \n\n", "holds no text"), (b"\xff\xfe\n", "is not UTF-8")],
)
def test_a_file_without_texts_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        read_texts(path)
