"""POST /v1/tokenize: where the tokens of a text are, so that the positions of a Patchscope can be given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from correction.questions import BLANK
from service.body import read_json
from service.routing import Placed
from service.schemas import TokenizeRequest, TokenObject, Tokens, request_body
from service.state import Shared

if TYPE_CHECKING:
    from correction.corrector import Corrector

router = APIRouter(route_class=Placed)


@router.post("/v1/tokenize", responses={200: {"model": Tokens}}, openapi_extra=request_body(TokenizeRequest))
async def tokenize(request: Request, state: Shared) -> Response:
    """A text's tokens with their ids and characters, and how many the model's context has room for."""
    corrector = state.corrector()
    asked = TokenizeRequest.parse(await read_json(request, state.settings.max_body_bytes))
    with state.reserve(request) as places:
        tokens = await places.run(lambda: asyncio.to_thread(_tokens, corrector, asked))
    return Response(tokens, media_type="application/json")


def _tokens(corrector: Corrector, asked: TokenizeRequest) -> bytes:
    loaded, prompts = corrector.loaded, corrector.prompts
    if asked.text is not None:
        text = asked.text
    elif asked.question is not None:
        text = prompts.form(asked.question.replace(BLANK, prompts.placeholder))
    else:
        text = prompts.form_chat([message.model_dump() for message in asked.messages or ()])
    chat = prompts.has_template if asked.messages else asked.question is not None and prompts.forms.of("direct").chat
    special = not chat  # a chat template writes its own special tokens
    encoded = loaded.tokenizer(text, return_offsets_mapping=True, add_special_tokens=special)
    tokens = [
        TokenObject(id=token, text=text[start:end] or loaded.tokenizer.decode([token]), start=start, end=end)
        for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]
    shown = Tokens(text=text, tokens=tokens, count=len(tokens), context=corrector.engine.context)
    return shown.model_dump_json().encode()
