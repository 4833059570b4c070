"""POST /v1/patchscope: any Patchscope on the served model, or a list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from correction.errors import InvalidInput
from service.entries import Work, respond
from service.errors import NotFound
from service.openapi import one_or_list
from service.routing import Placed
from service.schemas import FailedPatchscope, OutcomeObject, PatchscopeRequest, request_body
from service.state import Shared, State

if TYPE_CHECKING:
    from correction.corrector import Corrector

router = APIRouter(route_class=Placed)


@router.post(
    "/v1/patchscope",
    responses=one_or_list(OutcomeObject, FailedPatchscope),
    openapi_extra=request_body(PatchscopeRequest, or_list=True),
)
async def patchscope(request: Request, state: Shared) -> Response:
    """Read hidden states in one pass, write them into another, and see what is said.

    One gives what it said, a list gives a list in its order, failures as `{"error"}`; with `Accept:
    application/x-ndjson` one line for each, as they come.
    """
    return await respond(
        request, state, lambda fields: _work(state, fields), lambda _, error: FailedPatchscope(error=error)
    )


def _work(state: State, fields: Any) -> Work:
    asked = PatchscopeRequest.parse(fields)
    corrector = state.corrector()
    _check(asked, corrector, state)

    async def run() -> bytes:
        from correction.inspector import NOT_FINITE, Inspector
        from correction.patchscope import Patchscope

        inspector = Inspector.of(corrector.loaded, corrector.engine)
        [outcome] = await inspector.run([Patchscope.parse(asked.fields())], top=asked.top)
        if NOT_FINITE in outcome.notes:
            raise InvalidInput(NOT_FINITE)
        return OutcomeObject.of(outcome).model_dump_json().encode()

    return run


def _check(asked: PatchscopeRequest, corrector: Corrector, state: State) -> None:
    """What the schema cannot know: the served model, the mappings there are, what this service allows."""
    from correction.mappings import MAPPINGS

    if not corrector.engine.can_patch:
        raise InvalidInput(
            f"the engine {corrector.engine.name!r} neither reads nor overwrites hidden states",
            hint="ask a service that was started with --engine hf, or with a vLLM that has hopfix's plugin",
        )
    name = state.settings.model_name
    for field, model in asked.models.items():
        if model != name:
            raise NotFound(f"no such model: {model!r}", hint=f"leave it out, or give {name}", param=field)
    for field, mapping in asked.mappings.items():
        # A mapping may elsewhere be a file: no path comes from a request.
        if unknown := [part for part in mapping.split("+") if part not in MAPPINGS]:
            known = ", ".join(sorted(MAPPINGS))
            raise InvalidInput(f"unknown mapping {unknown[0]!r}", hint=f"{known}, or several with '+'", param=field)
    most = state.settings.max_completion_tokens
    if asked.max_tokens > most:
        raise InvalidInput(
            f"max_tokens is {asked.max_tokens}, the limit is {most}", hint="ask for fewer", param="max_tokens"
        )
