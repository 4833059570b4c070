"""GET /v1/models: the names that requests may give as their model."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter

from service.openai.names import check_served, names
from service.schemas.base import Response
from service.state import Shared

router = APIRouter()
_STARTED = int(time.time())


class Model(Response):
    """A model as OpenAI describes it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["hopfix"] = "hopfix"


class Models(Response):
    """All that are served."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models")
async def models(state: Shared) -> Models:
    """NAME, which corrects, first; then NAME:direct, the model as it is."""
    return Models(data=[_model(name) for name in names(state.settings)])


@router.get("/v1/models/{model:path}")
async def model(model: str, state: Shared) -> Model:
    """One of them; its name may have slashes."""
    check_served(model, state.settings)
    return _model(model)


def _model(name: str) -> Model:
    return Model(id=name, created=_STARTED)
