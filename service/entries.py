"""What is asked, one thing or a list of them: each of a list is judged on its own, and comes as a line where the client
takes lines. An entry is written as JSON once, by what answers it; here it is bytes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from correction.errors import HopfixError
from service.admission import while_connected
from service.body import read_json
from service.errors import InvalidFields, TooLarge, error_body, unexpected
from service.openapi import LINES
from service.places import Places
from service.schemas import FailedAnswer, FailedPatchscope
from service.state import State
from service.streamed import Streamed

Work = Callable[[], Awaitable[bytes]]
Prepare = Callable[[Any], Work]  # from an entry to what answers it; raises `HopfixError` for one that is wrong
Failed = Callable[[Any, dict[str, Any]], FailedAnswer | FailedPatchscope]  # what a list says in an entry's place
log = logging.getLogger(__name__)


async def respond(request: Request, state: State, prepare: Prepare, failed: Failed) -> Response:
    """The response to what a request's body asks."""
    state.corrector()
    body = await read_json(request, state.settings.max_body_bytes)
    as_lines = LINES in request.headers.get("accept", "")
    if not isinstance(body, list):
        work = prepare(body)
        with state.reserve(request) as places:
            given = await while_connected(request, places.run(work))
        return Response(given + b"\n", media_type=LINES) if as_lines else _json(given)
    if not body:
        raise InvalidFields("the list is empty", hint="send at least one entry")
    most = state.settings.max_questions
    if len(body) > most and not as_lines:
        hint = f"send several requests, or take lines by 'Accept: {LINES}'"
        raise TooLarge(f"the list has {len(body)} entries, the limit is {most}", hint=hint)
    places = state.reserve(request, len(body))
    entries = _each(places, body, prepare, failed, request.state.request_id)
    if as_lines:
        held = AsyncExitStack()
        held.enter_context(places)
        held.push_async_callback(entries.aclose)
        return Streamed((entry + b"\n" async for entry in entries), held, state.settings.deadline_seconds, LINES)
    with places:
        return _json(b"[" + b",".join(await while_connected(request, _all(entries))) + b"]")


async def _each(
    places: Places, body: list[Any], prepare: Prepare, failed: Failed, request_id: str
) -> AsyncGenerator[bytes]:
    """Each entry's answer, or what stands in its place, in order. Whatever fails spoils no other."""

    def said(entry: Any, error: dict[str, Any]) -> bytes:
        return failed(entry, error["error"]).model_dump_json().encode()

    def attempt(entry: Any) -> Work:
        async def work() -> bytes:
            try:
                return await prepare(entry)()
            except HopfixError:
                raise
            except Exception:
                log.exception("request %s failed", request_id)
                return said(entry, unexpected(request_id))

        return work

    index = 0
    async with aclosing(places.each(map(attempt, body))) as results:
        async for result in results:
            yield said(body[index], error_body(result)) if isinstance(result, HopfixError) else result
            index += 1


async def _all(entries: AsyncIterator[bytes]) -> list[bytes]:
    return [entry async for entry in entries]


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
