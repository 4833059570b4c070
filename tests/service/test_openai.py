"""OpenAI's clients: the model's name picks the behaviour, the evidence is in `hopfix`."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


def chat(model: str, content: object, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


async def test_models_name_first(connect) -> None:
    async with connect() as client:
        models = (await client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["stand-in", "stand-in:direct"]


async def test_a_completion(connect) -> None:
    async with connect() as client:
        body = (
            await client.post("/v1/completions", json={"model": "stand-in", "prompt": "Q", "temperature": 0})
        ).json()
    assert body["object"] == "text_completion"
    assert body["choices"] == [{"index": 0, "text": "answer to Q", "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert body["hopfix"]["corrected"] is True


async def test_several_prompts_are_several_choices(connect) -> None:
    async with connect() as client:
        body = (await client.post("/v1/completions", json={"model": "stand-in", "prompt": ["A", "B"]})).json()
    assert [choice["text"] for choice in body["choices"]] == ["answer to A", "answer to B"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert [evidence["answer"] for evidence in body["hopfix"]] == ["answer to A", "answer to B"]


async def test_a_chat_completion_answers_the_last_user_message(connect) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": "answer to A"},
        {"role": "user", "content": [{"type": "text", "text": "B"}]},
    ]
    async with connect() as client:
        body = (await client.post("/v1/chat/completions", json={"model": "stand-in", "messages": messages})).json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "answer to B", "refusal": None}
    assert body["hopfix"]["answer"] == "answer to B"


async def test_name_direct_does_not_correct(connect) -> None:
    async with connect() as client:
        body = (await client.post("/v1/chat/completions", json=chat("stand-in:direct", "Q"))).json()
    assert body["model"] == "stand-in:direct"
    assert body["choices"][0]["message"]["content"] == "direct to Q"
    assert body["hopfix"]["corrected"] is False


async def test_max_tokens_and_stop_are_kept_to(connect) -> None:
    async with connect() as client:
        short = (await client.post("/v1/chat/completions", json=chat("stand-in", "Q", max_tokens=2))).json()
        stopped = (await client.post("/v1/chat/completions", json=chat("stand-in", "Q", stop=[" to"]))).json()
    assert short["choices"][0]["message"]["content"] == "answer to"
    assert short["choices"][0]["finish_reason"] == "length"
    assert stopped["choices"][0]["message"]["content"] == "answer"
    assert stopped["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (chat("other", "Q"), 404, "model"),
        (chat("stand-in", "Q", stream=True), 400, "stream"),
        (chat("stand-in", "Q", tools=[{}]), 400, "tools"),
        (chat("stand-in", "Q", n=2), 422, "n"),
        (chat("stand-in", " "), 400, "messages"),
        (chat("stand-in", [{"type": "image_url", "image_url": {}}]), 422, "messages.0.content"),
        ({"model": "stand-in", "messages": []}, 400, "messages"),
        ({"model": "stand-in"}, 422, "messages"),
        ({"messages": []}, 422, "model"),
        ([], 422, None),
        (chat("stand-in", "engine down"), 503, None),
        (chat("stand-in", "break"), 500, None),
    ],
)
async def test_what_is_refused(connect, body: object, status: int, param: str | None) -> None:
    async with connect() as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == status
    assert (response.json()["error"]["param"] or "").startswith(param or "")


@pytest.mark.parametrize(("prompt", "status"), [("", 400), ([], 400), (["Q", " "], 400), ([1, 2], 422), (None, 422)])
async def test_prompts_are_text(connect, prompt: object, status: int) -> None:
    async with connect() as client:
        response = await client.post("/v1/completions", json={"model": "stand-in", "prompt": prompt})
    assert response.status_code == status
    assert response.json()["error"]["param"].startswith("prompt")
