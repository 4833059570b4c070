"""POST /v1/tokenize, on the demo model."""

from __future__ import annotations

import pytest

from correction.models import LoadedModel
from service.schemas import Tokens

pytestmark = pytest.mark.anyio
PROMPT = "The country where Kruger National Park is located is"


async def test_each_token_has_its_id_and_its_characters(connect_demo, demo: LoadedModel) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/tokenize", json={"text": PROMPT})
    tokens = Tokens.model_validate(response.json())
    assert (tokens.text, tokens.count, tokens.context) == (PROMPT, len(tokens.tokens), demo.context)
    assert [token.id for token in tokens.tokens] == demo.tokenizer(PROMPT)["input_ids"]
    first, *rest = tokens.tokens
    assert (first.text, first.start, first.end) == ("<bos>", 0, 0)  # stands for no text
    assert "".join(token.text for token in rest) == PROMPT
    assert all(PROMPT[token.start : token.end] == token.text for token in rest)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"question": "Who runs Sony?"}, "Q: Who runs Sony?\nA:"),
        ({"question": "The currency of {} is"}, "The currency of x is"),
        ({"messages": [{"role": "user", "content": "Who runs Sony?"}]}, "Q: Who runs Sony?\nA:"),
    ],
)
async def test_questions_and_chats_are_shown_as_the_model_reads_them(connect_demo, asked: object, text: str) -> None:
    async with connect_demo() as client:
        tokens = Tokens.model_validate((await client.post("/v1/tokenize", json=asked)).json())
    assert tokens.text == text


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"text": "a", "question": "b"}, 422),
        ({"text": 1}, 422),
        ({"text": "x" * 9000}, 422),
        ({"messages": []}, 422),
        ({"messages": [{"role": "user"}]}, 422),
        ({"messages": [{"role": "system", "content": "Be short."}]}, 400),
        ([{"text": "a"}], 422),
        ({"tokens": [1]}, 422),
    ],
)
async def test_what_cannot_be_tokenized_says_why(connect_demo, asked: object, status: int) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/tokenize", json=asked)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_an_empty_text_has_the_tokens_that_the_tokenizer_adds(connect_demo) -> None:
    async with connect_demo() as client:
        tokens = Tokens.model_validate((await client.post("/v1/tokenize", json={"text": ""})).json())
    assert [token.text for token in tokens.tokens] == ["<bos>"]
