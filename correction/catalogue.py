"""Models and profiles that are on this machine already: what is bundled, what a package brought, and the hub's cache.

Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from correction.named import SMOLLM2, smollm2_file

PROFILE = "profile.json"  # as in `correction.profile`, which imports torch


@dataclass(frozen=True)
class Found:
    """A model or a profile. about: a model's architecture, or the model that a profile was made for."""

    name: str
    kind: str
    about: str
    bytes: int


def bundled() -> list[Found]:
    """The demo model and its profile."""
    demo = Path(str(resources.files("correction") / "demo"))
    found = (_found("demo", demo / part, _size(demo / part)) for part in ("model", "profile"))
    return [entry for entry in found if entry]


def installed() -> list[Found]:
    """`smollm2`, where the package is that it comes in."""
    file = smollm2_file()
    return [Found(SMOLLM2, "model", "llama", file.stat().st_size)] if file else []


def cached() -> list[Found]:
    """What the hub's cache holds of models, GGUF files among them, and of profiles that were shared there; by name."""
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for repository in repositories:
        if repository.repo_type == "model" and repository.revisions:
            newest = max(repository.revisions, key=lambda revision: revision.last_modified)
            found.append(_found(repository.repo_id, newest.snapshot_path, repository.size_on_disk))
            found += [
                Found(f"{repository.repo_id}:{file.file_path.relative_to(newest.snapshot_path)}", "model", "GGUF", size)
                for file in newest.files
                if file.file_name.endswith(".gguf") and (size := file.size_on_disk)
            ]
    return sorted((entry for entry in found if entry), key=lambda entry: entry.name)


def _found(name: str, folder: Path, size: int) -> Found | None:
    if profile := _fields(folder / PROFILE):
        return Found(name, "profile", str(profile.get("model", "")), size)
    if config := _fields(folder / "config.json"):
        return Found(name, "model", str(config.get("model_type", "")), size)
    return None


def _fields(path: Path) -> dict[str, Any]:
    """The file's JSON object, empty if there is none: what is in a cache is no reason to fail."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
