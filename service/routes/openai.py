"""OpenAI's two endpoints, for clients that know nothing of hopfix: the prompt is the question, the model's name the
behaviour, and the evidence stands in the extra field `hopfix`.

Generation is greedy and one answer long, so sampling parameters are taken and change nothing; what would promise more
than that (streams, several choices, tools) is refused.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from correction.errors import HopfixError, InvalidInput
from service.admission import while_connected
from service.body import read_json
from service.errors import InvalidFields, TooLarge
from service.places import Places
from service.routes.models import strategy_of
from service.schemas import AnswerObject, AnswerRequest, Text, request_body
from service.state import Shared, State

router = APIRouter()
_REFUSED = ("stream", "tools", "functions", "logprobs", "top_logprobs", "echo", "suffix", "response_format")


class _Common(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    model: Text
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | list[Text] | None = None
    n: Literal[1] | None = None
    best_of: Literal[1] | None = None


T = TypeVar("T", bound=_Common)


class Completion(_Common):
    """The fields of a completion request that have an effect."""

    prompt: Text | list[Text]


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True)

    type: Literal["text"]
    text: Text


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: str
    content: Text | list[TextPart] | None = None


class ChatCompletion(_Common):
    """The fields of a chat request that have an effect. The last user message is the question."""

    messages: list[Message]


@router.post("/v1/completions", openapi_extra=request_body(Completion))
async def completions(request: Request, state: Shared) -> dict[str, Any]:
    """Answers the prompt, or each of a list of prompts."""
    state.corrector()
    asked = _parse(Completion, await read_json(request, state.settings.max_body_bytes))
    prompts = asked.prompt if isinstance(asked.prompt, list) else [asked.prompt]
    answers = await _answer(request, state, asked, prompts, "prompt")
    choices = []
    for index, answer in enumerate(answers):
        text, reason = _limit(state, answer.answer, asked)
        choices.append({"index": index, "text": text, "logprobs": None, "finish_reason": reason})
    evidence = [answer.model_dump() for answer in answers]
    return {
        **_envelope("cmpl", "text_completion", asked.model, answers),
        "choices": choices,
        "hopfix": evidence if isinstance(asked.prompt, list) else evidence[0],
    }


@router.post("/v1/chat/completions", openapi_extra=request_body(ChatCompletion))
async def chat_completions(request: Request, state: Shared) -> dict[str, Any]:
    """Answers the last user message."""
    state.corrector()
    asked = _parse(ChatCompletion, await read_json(request, state.settings.max_body_bytes))
    [answer] = await _answer(request, state, asked, [_last_user_message(asked.messages)], "messages")
    text, reason = _limit(state, answer.answer, asked)
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        **_envelope("chatcmpl", "chat.completion", asked.model, [answer]),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "hopfix": answer.model_dump(),
    }


def _parse(kind: type[T], body: Any) -> T:
    """The request; what it asks for and cannot have is refused before anything else."""
    if isinstance(body, dict):
        for name in _REFUSED:
            if body.get(name):
                raise InvalidInput(f"{name} is not supported yet", hint="leave it out", param=name)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InvalidFields.of(error, tuple(kind.model_fields)) from None


async def _answer(request: Request, state: State, asked: _Common, texts: list[str], param: str) -> list[AnswerObject]:
    strategy = strategy_of(asked.model, state.settings)
    if not texts or not all(text.strip() for text in texts):
        raise InvalidInput("the question is empty", hint=f"write it in {param!r}", param=param)
    if len(texts) > state.settings.max_questions:
        raise TooLarge(f"{len(texts)} prompts, the limit is {state.settings.max_questions}", param=param)

    def work(text: str) -> Callable[[], Awaitable[AnswerObject]]:
        return lambda: state.answer(AnswerRequest(question=text, strategy=strategy), request.state.request_id)

    async def answers(places: Places) -> list[AnswerObject]:
        given = []
        async with aclosing(places.each(map(work, texts))) as results:
            async for result in results:
                if isinstance(result, HopfixError):
                    raise result
                given.append(result)
        return given

    with state.reserve(request, len(texts)) as places:
        return await while_connected(request, answers(places))


def _last_user_message(messages: list[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            content = message.content or ""
            return content if isinstance(content, str) else " ".join(part.text for part in content)
    raise InvalidInput("there is no user message", hint="send the question with role 'user'", param="messages")


def _limit(state: State, text: str, asked: _Common) -> tuple[str, str]:
    """The text up to a stop sequence and within the tokens asked for, and why it ended."""
    for stop in [asked.stop] if isinstance(asked.stop, str) else asked.stop or []:
        if stop:
            text = text.split(stop, 1)[0]
    most = asked.max_completion_tokens or asked.max_tokens
    loaded = state.corrector().loaded
    tokens = loaded.tokenizer(text, add_special_tokens=False)["input_ids"] if most else []
    if most and len(tokens) > most:
        return loaded.decode(list(tokens[:most])), "length"
    return text, "stop"


def _envelope(prefix: str, kind: str, model: str, answers: list[AnswerObject]) -> dict[str, Any]:
    prompt = sum(answer.usage.prompt_tokens for answer in answers)
    completion = sum(answer.usage.completion_tokens for answer in answers)
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
