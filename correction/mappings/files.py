"""Mappings on disk: one safetensors file for a mapping or a chain, with what it was fitted on as its metadata.

Metadata: `schema_version`, `hopfix` (the version that wrote it), `parts` (JSON: for each part its kind and, if fitted,
its widths and the fields of `Fitted`) and `sha256` over parts and tensors. Tensors are named `PART.NAME`, e.g.
`0.weight`. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping as Dictionary
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from correction.errors import HopfixError, InvalidInput, InvalidMapping
from correction.mappings.affine import Affine
from correction.mappings.base import Mapping
from correction.mappings.chain import Chain, parts_of
from correction.mappings.fitted import FITTED_FIELDS, Fitted, FittedMapping
from correction.mappings.fixed import MAPPINGS
from correction.mappings.kernel import Kernel
from correction.mappings.mlp import MLP

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
KINDS: dict[str, type[FittedMapping]] = {"ridge": Affine, "procrustes": Affine, "mlp": MLP, "kernel": Kernel}


def check_name(path: Path) -> None:
    """Raises `InvalidInput` for a file name by which the mapping could not be asked for."""
    if path.suffix != SUFFIX or "+" in str(path):
        raise InvalidInput(f"{path} is no name for a mapping", hint=f"end it in {SUFFIX}, without a '+'", param="out")


def save_mapping(mapping: Mapping, path: Path) -> None:
    """Writes the file; it appears whole or not at all.

    Raises `InvalidInput` for a name that `check_name` refuses, or a mapping of a kind that hopfix cannot load.
    """
    check_name(path)
    parts: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, part in enumerate(parts_of(mapping)):
        if isinstance(part, FittedMapping):
            parts.append({**asdict(part.fitted), "widths": part.widths})
            tensors |= {f"{number}.{name}": tensor.cpu().contiguous() for name, tensor in part.tensors.items()}
        elif part is MAPPINGS.get(part.name):
            parts.append({"kind": part.name})
        else:
            raise InvalidInput(f"the mapping {part.name!r} cannot be saved", hint="only hopfix's can", param="mapping")
    described = json.dumps(parts)
    metadata = {
        "schema_version": str(SCHEMA_VERSION),
        "hopfix": version("hopfix"),
        "parts": described,
        "sha256": _digest(described, tensors),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(save(tensors, metadata))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_mapping(path: Path) -> Mapping:
    """Reads a mapping or a chain; raises `InvalidMapping` that names the file, what is wrong and what to do."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_version(metadata)
            tensors = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
        parts = [_part(number, fields, tensors) for number, fields in enumerate(json.loads(metadata["parts"]))]
        mapping = parts[0] if len(parts) == 1 else Chain(tuple(parts))
        if metadata["sha256"] != _digest(metadata["parts"], tensors):
            raise InvalidMapping("its contents are not those that were written", hint="copy or fit it again")
    except FileNotFoundError:
        raise InvalidMapping(f"no mapping file {path}", hint="fit one with 'hopfix fit'") from None
    except HopfixError as error:
        raise InvalidMapping(f"{path}: {error.message}", hint=error.hint) from error
    except (OSError, SafetensorError) as error:
        raise InvalidMapping(f"cannot read {path}", hint=f"copy or fit it again ({error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidMapping(f"the metadata of {path} are damaged", hint=f"copy or fit it again ({error!r})") from error
    return mapping


def _check_version(metadata: Dictionary[str, str]) -> None:
    if "schema_version" not in metadata:
        raise InvalidMapping("holds no mapping", hint="give a file that 'hopfix fit' wrote")
    found = int(metadata["schema_version"])
    if found != SCHEMA_VERSION:
        raise InvalidMapping(
            f"has schema version {found}, this hopfix reads {SCHEMA_VERSION}",
            hint="update hopfix" if found > SCHEMA_VERSION else "fit the mapping again",
        )


def _part(number: int, fields: dict[str, Any], tensors: dict[str, Tensor]) -> Mapping:
    kind = fields["kind"]
    if kind in MAPPINGS:
        return MAPPINGS[kind]
    if kind not in KINDS:
        raise InvalidMapping(f"the kind {kind!r} is unknown", hint=f"known: {', '.join([*KINDS, *MAPPINGS])}")
    widths = tuple(fields.pop("widths"))
    if wrong := [name for name, kind in FITTED_FIELDS.items() if not isinstance(fields[name], kind)]:
        raise TypeError(f"{wrong[0]} = {fields[wrong[0]]!r}")
    names = {name: f"{number}.{name}" for name in KINDS[kind].SHAPES}
    if missing := [name for name in names.values() if name not in tensors]:
        raise InvalidMapping(f"the tensor {missing[0]!r} is missing", hint="fit the mapping again")
    weights: dict[str, Any] = {name: tensors[stored] for name, stored in names.items()}
    mapping = KINDS[kind](Fitted(**fields), **weights)
    if mapping.widths != widths:
        raise InvalidMapping(f"has the widths {mapping.widths}, not {widths} as it says", hint="fit the mapping again")
    return mapping


def _digest(described: str, tensors: dict[str, Tensor]) -> str:
    """Finds damage that leaves every number finite; the shapes are in the file's own header."""
    digest = hashlib.sha256(described.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
