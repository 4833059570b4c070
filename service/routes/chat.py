"""POST /v1/chat/completions, as OpenAI's clients send it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.body import read_json
from service.openai.chats import ChatChunk, ChatCompletion, ChatForm
from service.openai.envelope import envelope
from service.openai.names import check_served
from service.openai.plan import Source
from service.openai.requests import ChatRequest
from service.openai.respond import respond
from service.openapi import body_or_events
from service.routing import Placed
from service.schemas import request_body
from service.state import Shared

router = APIRouter(route_class=Placed)


@router.post(
    "/v1/chat/completions",
    responses=body_or_events(ChatCompletion, ChatChunk),
    openapi_extra=request_body(ChatRequest),
)
async def chat_completions(request: Request, state: Shared) -> Response:
    """Answers a chat. If the user's last message is a two-hop question and the model is NAME, that question is
    corrected, whatever was said before it; everything else is what the model itself makes of the chat.
    """
    corrector = state.corrector()
    asked = ChatRequest.parse(await read_json(request, state.settings.max_body_bytes))
    check_served(asked.model, state.settings)
    form = ChatForm(asked, envelope("chatcmpl", request.state.request_id, asked.model, corrector))
    source = Source(lambda: asked.question, lambda: corrector.prompts.encode_chat(asked.chat))
    size = sum(len(message.role) + len(message.text) for message in asked.messages)
    return await respond(request, state, asked, [source], form, size=size)
