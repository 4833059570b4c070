"""The models a client can name: NAME corrects, NAME:direct is the model as it is."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter

from service.errors import NotFound
from service.settings import Settings
from service.state import Shared

router = APIRouter()
DIRECT = ":direct"
_STARTED = int(time.time())


def strategy_of(model: str, settings: Settings) -> Literal["deployed", "direct"]:
    """The behaviour a model's name picks; raises `NotFound` for a name that is not served."""
    names = _names(settings)
    if model not in names:
        raise NotFound(f"no such model: {model!r}", hint=f"choose {' or '.join(names)}", param="model")
    return "direct" if model.endswith(DIRECT) else "deployed"


@router.get("/v1/models")
async def models(state: Shared) -> dict[str, Any]:
    """NAME first, then NAME:direct."""
    entries = [
        {"id": name, "object": "model", "created": _STARTED, "owned_by": "hopfix"} for name in _names(state.settings)
    ]
    return {"object": "list", "data": entries}


def _names(settings: Settings) -> tuple[str, str]:
    return settings.model_name, settings.model_name + DIRECT
