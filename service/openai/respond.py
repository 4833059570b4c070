"""From what a client asks to its response: a body, or a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from correction.errors import HopfixError
from service.admission import while_connected
from service.errors import TooLarge, error_body, unexpected
from service.openai.envelope import Form, TokenUsage
from service.openai.plan import Source, plan
from service.openai.requests import Asked
from service.openai.saying import Said, Speaker
from service.places import Places
from service.state import State
from service.streamed import Streamed

EVENTS = "text/event-stream"
_LONG = 8192  # characters or tokens of a request; reading more would hold up the others
_MANY = 64  # tokens with their alternatives, of a part of a stream; writing more would, too
log = logging.getLogger(__name__)


async def respond(
    request: Request, state: State, asked: Asked, sources: list[Source], form: Form, *, size: int
) -> Response:
    """The response to a request whose model is served and whose prompts have `size` characters or tokens."""
    most = len(sources) * (1 if asked.greedy else asked.choices)
    if len(sources) * asked.choices > state.settings.max_questions:
        limit = state.settings.max_questions
        raise TooLarge(
            f"{len(sources)} prompts of {asked.choices} choices, the limit is {limit}",
            hint="send them in several requests",
            param="prompt",
        )
    speaker = Speaker(state, state.corrector(), request.state.request_id, whole=not asked.stream)
    async with AsyncExitStack() as held:
        places = held.enter_context(state.reserve(request, most))
        said = await held.enter_async_context(aclosing(_said(speaker, asked, sources, places, size)))
        if not asked.stream:
            whole = await while_connected(request, _all(said))
            if asked.alternatives is None:
                return _json(form, whole)
            return await asyncio.to_thread(_json, form, whole)
        first = await while_connected(request, anext(said))  # until now a failure has a status of its own
        events = _events(first, said, form, asked, request.state.request_id)
        return Streamed(events, held.pop_all(), state.settings.deadline_seconds, EVENTS)


async def _said(
    speaker: Speaker, asked: Asked, sources: list[Source], places: Places, size: int
) -> AsyncGenerator[Said]:
    args = (asked, sources, speaker.corrector, speaker.state.settings)
    jobs = plan(*args) if size <= _LONG else await asyncio.to_thread(plan, *args)
    async with aclosing(speaker.say(jobs, places)) as said:
        async for each in said:
            yield each


async def _all(said: AsyncGenerator[Said]) -> list[Said]:
    return sorted([each async for each in said], key=lambda each: each.job.choices)


async def _events(
    first: Said, rest: AsyncGenerator[Said], form: Form, asked: Asked, request_id: str
) -> AsyncGenerator[bytes]:
    lasts = []
    said: Said | None = first
    try:
        while said is not None:
            many = len(said.piece.tokens) > _MANY
            yield await asyncio.to_thread(_part, form, said) if many else _part(form, said)
            if said.evidence is not None:
                lasts.append(said)
            said = await anext(rest, None)
    except HopfixError as error:
        yield _event(error_body(error))
    except Exception:
        log.exception("request %s failed", request_id)
        yield _event(unexpected(request_id))
    else:
        if asked.include_usage:
            yield _event(form.usage(TokenUsage.of(lasts)))
        yield b"data: [DONE]\n\n"


def _part(form: Form, said: Said) -> bytes:
    return b"".join(map(_event, form.chunks(said)))


def _event(data: BaseModel | dict[str, object]) -> bytes:
    # In ASCII: some clients take every line break of Unicode for the end of a line.
    if isinstance(data, BaseModel):
        text = data.model_dump_json(exclude_unset=True, ensure_ascii=True)
    else:
        text = json.dumps(data)
    return f"data: {text}\n\n".encode()


def _json(form: Form, said: list[Said]) -> Response:
    return Response(form.body(said).model_dump_json().encode(), media_type="application/json")
