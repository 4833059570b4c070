"""Mappings f of a Patchscope, by name."""

from __future__ import annotations

from correction.errors import InvalidInput
from correction.mappings.base import Mapping, check_finite
from correction.mappings.fixed import IDENTITY, HardToken, Identity, NormMatched, Vocabulary

MAPPINGS: dict[str, Mapping] = {m.name: m for m in (IDENTITY, NormMatched(), Vocabulary(), HardToken())}

__all__ = [
    "IDENTITY",
    "MAPPINGS",
    "HardToken",
    "Identity",
    "Mapping",
    "NormMatched",
    "Vocabulary",
    "check_finite",
    "mapping_named",
]


def mapping_named(name: str) -> Mapping:
    """The mapping of that name; raises `InvalidInput` naming those there are."""
    try:
        return MAPPINGS[name]
    except KeyError:
        raise InvalidInput(
            f"unknown mapping {name!r}", hint=f"choose one of {', '.join(sorted(MAPPINGS))}", param="mapping"
        ) from None
