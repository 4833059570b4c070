"""Mappings f of a Patchscope, by name, and what was fitted by file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from correction.errors import InvalidInput
from correction.mappings.affine import Affine
from correction.mappings.base import Mapping, check_finite
from correction.mappings.chain import Chain, check_fitted_for, parts_of
from correction.mappings.files import SUFFIX, load_mapping, save_mapping
from correction.mappings.fit import fit
from correction.mappings.fitted import Fitted, FittedMapping
from correction.mappings.fixed import IDENTITY, MAPPINGS, TOKEN, HardToken, Identity, NormMatched, Vocabulary
from correction.mappings.kernel import Kernel
from correction.mappings.mlp import MLP

__all__ = [
    "IDENTITY",
    "MAPPINGS",
    "MLP",
    "TOKEN",
    "Affine",
    "Chain",
    "Fitted",
    "FittedMapping",
    "HardToken",
    "Identity",
    "Kernel",
    "Mapping",
    "NormMatched",
    "Vocabulary",
    "check_finite",
    "check_fitted_for",
    "fit",
    "load_mapping",
    "mapping_named",
    "parts_of",
    "save_mapping",
]


def mapping_named(name: str) -> Mapping:
    """A fixed mapping by its name, a fitted one by its file (FILE.safetensors), or several joined by "+".

    A file is read once as long as it does not change, and equal names give the same mapping: the rows of a batch that
    share a mapping are written together. Raises `InvalidInput` for a name that is neither, or mappings that cannot
    follow one another; `InvalidMapping` for a file that is damaged.
    """
    parts = tuple(_single(part) for part in name.split("+"))
    return parts[0] if len(parts) == 1 else _chained(parts)


def _single(name: str) -> Mapping:
    if name in MAPPINGS:
        return MAPPINGS[name]
    if name.endswith(SUFFIX):
        path = Path(name)
        return _loaded(path, path.stat().st_mtime_ns) if path.is_file() else load_mapping(path)
    raise InvalidInput(
        f"unknown mapping {name!r}",
        hint=f"choose one of {', '.join(sorted(MAPPINGS))}, a file of 'hopfix fit' (its name ends in {SUFFIX} and has "
        "no '+'), or several joined by '+'",
        param="mapping",
    )


@lru_cache(maxsize=32)
def _chained(parts: tuple[Mapping, ...]) -> Chain:
    return Chain(parts)


@lru_cache(maxsize=32)
def _loaded(path: Path, modified: int) -> Mapping:
    return load_mapping(path)
