"""From a request to an answer, for every route and for the command: which layers, which mapping, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from correction.errors import InvalidInput

if TYPE_CHECKING:
    from correction.corrector import Corrector
    from correction.profile import Choice

PATCHING = ("deployed", "patched")


def choose(
    corrector: Corrector,
    strategy: str,
    source_layer: int | None,
    target_layer: int | None,
    mapping: str | None,
    *,
    files: bool = False,
) -> Choice | None:
    """The layers and mapping asked for, completed from those the strategy has; None if nothing was asked for.

    `files` allows mappings that are files, which is for the machine's own user: a client names only fixed ones.
    Raises `InvalidInput` where the strategy has no use for them: an answer must not seem to come from a patch.
    """
    from correction.mappings import MAPPINGS, mapping_named
    from correction.profile import Choice, check_choice

    asked = {"source_layer": source_layer, "target_layer": target_layer, "mapping": mapping}
    given = [name for name, value in asked.items() if value is not None]
    if not given:
        return None
    if strategy not in PATCHING:
        raise InvalidInput(
            f"{given[0]} has no effect on the strategy {strategy!r}",
            hint=f"use it with {' or '.join(PATCHING)}",
            param=given[0],
        )
    usual = corrector.used.patched if strategy == "patched" else corrector.used.choice
    choice = Choice(
        usual.source_layer if source_layer is None else source_layer,
        usual.target_layer if target_layer is None else target_layer,
        usual.mapping if mapping is None else mapping,
    )
    check_choice(choice, corrector.loaded.parts.depth)
    if mapping is not None and mapping not in MAPPINGS and not files:
        raise InvalidInput(
            f"unknown mapping {mapping!r}", hint=f"choose one of {', '.join(sorted(MAPPINGS))}", param="mapping"
        )
    mapping_named(choice.mapping)
    return choice
