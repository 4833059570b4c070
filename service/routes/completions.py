"""POST /v1/completions, as OpenAI's clients send it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.body import read_json
from service.openai.completions import Completion, CompletionChunk, CompletionForm
from service.openai.envelope import envelope
from service.openai.names import check_served
from service.openai.plan import Source
from service.openai.requests import CompletionRequest
from service.openai.respond import respond
from service.openapi import body_or_events
from service.routing import Placed
from service.schemas import request_body
from service.state import Shared

if TYPE_CHECKING:
    from correction.corrector import Corrector

router = APIRouter(route_class=Placed)


@router.post(
    "/v1/completions",
    responses=body_or_events(Completion, CompletionChunk),
    openapi_extra=request_body(CompletionRequest),
)
async def completions(request: Request, state: Shared) -> Response:
    """Completes a prompt, or each of several. A two-hop question is corrected if the model is NAME; everything else is
    what the model itself makes of the prompt, NAME:direct always.
    """
    corrector = state.corrector()
    asked = CompletionRequest.parse(await read_json(request, state.settings.max_body_bytes))
    check_served(asked.model, state.settings)
    form = CompletionForm(asked, envelope("cmpl", request.state.request_id, asked.model, corrector))
    sources = [_source(prompt, corrector) for prompt in asked.prompts]
    return await respond(request, state, asked, sources, form, size=sum(map(len, asked.prompts)))


def _source(prompt: str | list[int], corrector: Corrector) -> Source:
    """A prompt of token ids is the question that its text is."""
    if isinstance(prompt, str):
        return Source(lambda: prompt, lambda: corrector.prompts.encode_raw(prompt))
    return Source(lambda: corrector.loaded.text(prompt), lambda: tuple(prompt))
