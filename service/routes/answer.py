"""POST /v1/answer: one question, or a list of which each is judged on its own."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from correction.errors import HopfixError
from service.admission import while_connected
from service.body import read_json
from service.errors import InvalidFields, TooLarge, error_body
from service.schemas import AnswerObject, AnswerRequest, FailedAnswer, request_body
from service.state import Shared, State

router = APIRouter()


@router.post(
    "/v1/answer",
    response_model=AnswerObject | list[AnswerObject | FailedAnswer],
    openapi_extra=request_body(AnswerRequest, or_list=True),
)
async def answer(request: Request, state: Shared) -> Any:
    """One question gives one answer object; a list gives a list in its order, failures as `{"id", "error"}`."""
    state.corrector()
    body = await read_json(request, state.settings.max_body_bytes)
    if isinstance(body, list):
        return JSONResponse(await _answer_list(request, state, body))
    single = AnswerRequest.parse(body)
    with state.admission.admit(1):
        return await while_connected(request, state.answer(single))


async def _answer_list(request: Request, state: State, body: list[Any]) -> list[dict[str, Any]]:
    if not body:
        raise InvalidFields("the list is empty", hint="send at least one question")
    limit = state.settings.max_questions
    if len(body) > limit:
        raise TooLarge(f"the list has {len(body)} questions, the limit is {limit}", hint="send several requests")
    parsed = [_parse(entry) for entry in body]
    asked = [entry for entry in parsed if isinstance(entry, AnswerRequest)]
    with state.admission.admit(len(asked)):
        work = asyncio.gather(*(state.attempt(entry, request.state.request_id) for entry in asked))
        answers = iter(await while_connected(request, _all(work)))
    return [next(answers) if isinstance(entry, AnswerRequest) else entry for entry in parsed]


def _parse(entry: Any) -> AnswerRequest | dict[str, Any]:
    """The request, or what the list's answer says in its place."""
    try:
        return AnswerRequest.parse(entry)
    except HopfixError as error:
        given = entry.get("id") if isinstance(entry, dict) else None
        usable = isinstance(given, str) and error.param != "id"
        return {"id": given if usable else None, **error_body(error)}


async def _all(work: asyncio.Future[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return await work
