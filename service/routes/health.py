"""For operators: alive, ready, and numbers. Open without a key, as probes have none."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.errors import NotReady
from service.metrics import CONTENT_TYPE
from service.security import authenticate
from service.state import Shared

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(state: Shared) -> dict[str, str | None]:
    """Questions can be answered; 503 with the reason while they cannot. `trouble` is what is wrong all the same."""
    state.check_open()
    engine = state.corrector().engine
    if engine.down:
        raise NotReady(f"the engine {engine.name!r} cannot answer: {engine.trouble}", hint="ask again later")
    return {
        "status": "ready",
        "model": state.settings.model_name,
        "engine": engine.name,
        "trouble": engine.trouble,
    }


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, state: Shared) -> Response:
    """Prometheus' text format. With `--private-metrics` whoever reads it needs a key."""
    if state.settings.private_metrics:
        await authenticate(request, state)
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)
