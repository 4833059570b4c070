"""POST /v1/answer: one question, or a list of which each is judged on its own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.entries import Work, respond
from service.openapi import one_or_list
from service.routing import Placed
from service.schemas import AnswerObject, AnswerRequest, FailedAnswer, request_body
from service.state import Shared

router = APIRouter(route_class=Placed)


@router.post(
    "/v1/answer",
    responses=one_or_list(AnswerObject, FailedAnswer),
    openapi_extra=request_body(AnswerRequest, or_list=True),
)
async def answer(request: Request, state: Shared) -> Response:
    """One question gives one answer object; a list gives a list in its order, failures as `{"id", "error"}`.

    With `Accept: application/x-ndjson` each comes as a line as soon as it is there, and the list may be as long as a
    body can be.
    """

    def prepare(entry: Any) -> Work:
        asked = AnswerRequest.parse(entry)

        async def work() -> bytes:
            return (await state.answer(asked, request.state.request_id)).model_dump_json().encode()

        return work

    return await respond(request, state, prepare, _failed)


def _failed(entry: Any, error: dict[str, Any]) -> FailedAnswer:
    given = entry.get("id") if isinstance(entry, dict) else None
    own = given.encode(errors="replace").decode() if isinstance(given, str) and error["param"] != "id" else None
    return FailedAnswer.model_validate({"id": own, "error": error})
