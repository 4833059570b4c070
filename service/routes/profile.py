"""What is deployed, and putting a new one in its place. No path comes from a request: both are what the service was
started with, a folder or a repository on the hub."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from service.schemas import ProfileObject
from service.security import administrate
from service.state import Shared, State

router = APIRouter()


@router.get("/v1/profile", responses={200: {"model": ProfileObject}})
async def profile(state: Shared) -> Response:
    """The profile in use, with the evidence it was chosen on."""
    return _shown(state)


@router.post("/v1/profile/reload", responses={200: {"model": ProfileObject}}, dependencies=[Depends(administrate)])
async def reload(state: Shared) -> Response:
    """Reads the profile again, from where it was read. If what is there cannot be proven, what is in use stays."""
    await state.reload()
    state.on_reload()
    return _shown(state)


def _shown(state: State) -> Response:
    corrector = state.corrector()
    shown = ProfileObject.of(corrector, state.settings.model_name, state.loaded)
    return Response(shown.model_dump_json(), media_type="application/json")
