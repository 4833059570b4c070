"""Files that `hopfix inspect` reads: Patchscopes as JSON, prompts with their labels as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from correction.errors import InvalidInput

if TYPE_CHECKING:
    from correction.patchscope import Patchscope


def read_patchscopes(file: Path) -> list[Patchscope]:
    """One Patchscope or a list, as `Patchscope.parse` reads them."""
    from correction.patchscope import Patchscope

    try:
        value = json.loads(_text(file))
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON", hint=str(error), param="file") from None
    if value == []:
        raise InvalidInput(
            f"{file} has no Patchscopes", hint="write one object or a list, as in docs/framework.md", param="file"
        )
    return [Patchscope.parse(fields) for fields in (value if isinstance(value, list) else [value])]


def read_prompts(file: Path) -> dict[str, Any]:
    """The request's prompts, and their labels if they have any."""
    prompts, labels = [], []
    for number, line in enumerate(_text(file).splitlines(), 1):
        try:
            entry = json.loads(line)
            prompts.append(entry["prompt"])
            labels += [str(entry["label"])] if "label" in entry else []
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(
                f"{file}, line {number}: not a prompt", hint='write lines such as {"prompt": "..."}', param="file"
            ) from None
    return {"prompts": prompts, **({"labels": labels} if labels else {})}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(f"cannot read {file}", hint=reason or "", param="file") from None
