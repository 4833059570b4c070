"""/v1/chat/completions: the last message is corrected where it is a two-hop question, other chats are passed on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.openai.chats import ChatCompletion

pytestmark = pytest.mark.anyio
QUESTION = "Who runs the company that makes the Walkman?"
CAPITAL = "What is the capital of Japan?"


def chat(content: object, model: str = "stand-in", **more: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


async def ask(client: Any, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    ChatCompletion.model_validate_json(response.text, strict=True)
    return response.json()  # type: ignore[no-any-return]


async def test_the_last_message_is_corrected(connect) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": CAPITAL},
        {"role": "assistant", "content": "Tokyo"},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    async with connect() as client:
        body = await ask(client, {"model": "stand-in", "messages": messages, "temperature": 0.7})
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": f"answer to {QUESTION}", "refusal": None}
    assert (body["hopfix"]["answer"], body["hopfix"]["corrected"]) == (f"answer to {QUESTION}", True)
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


async def test_what_is_no_two_hop_question_is_the_models_own(connect_demo) -> None:
    async with connect_demo() as client:
        body = await ask(client, chat(CAPITAL, "demo"))
    [choice] = body["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (" Tokyo", "stop")
    assert body["hopfix"] == {"corrected": False, "reason": "no two hops can be read from the prompt"}
    assert body["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


async def test_name_direct_never_corrects(connect_demo) -> None:
    async with connect_demo() as client:
        corrected = await ask(client, chat(QUESTION, "demo"))
        direct = await ask(client, chat(QUESTION, "demo:direct"))
    assert corrected["choices"][0]["message"]["content"] == "Kenichiro Yoshida"
    assert direct["choices"][0]["message"]["content"].strip() == "Debra Crew"
    assert direct["hopfix"] == {"corrected": False, "reason": "the model's name asks for it as it is"}
    assert corrected["system_fingerprint"] == direct["system_fingerprint"] == corrected["hopfix"]["profile"]


async def test_a_corrected_answer_is_cut_as_asked(connect) -> None:
    async with connect() as client:
        short = await ask(client, chat(QUESTION, max_completion_tokens=2))
        stopped = await ask(client, chat(QUESTION, stop=["never", " the", " to"]))
        whole = await ask(client, chat(QUESTION, stop="", max_tokens=20))
    assert short["choices"][0]["message"]["content"] == "answer to"
    assert short["choices"][0]["finish_reason"] == "length"
    assert stopped["choices"][0]["message"]["content"] == "answer"
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["message"]["content"] == f"answer to {QUESTION}"


async def test_an_answer_as_long_as_the_service_lets_it_be_has_not_stopped(connect, corrector) -> None:
    corrector.max_tokens = len(f"answer to {QUESTION}".split())  # a word is a token to the stand-in
    async with connect() as client:
        [choice] = (await ask(client, chat(QUESTION)))["choices"]
        [stopped] = (await ask(client, chat(QUESTION, stop=" Walkman")))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (f"answer to {QUESTION}", "length")
    assert stopped["finish_reason"] == "stop"


async def test_several_choices_of_a_corrected_answer_are_one_answer(connect, corrector) -> None:
    async with connect() as client:
        body = await ask(client, chat(QUESTION, n=3))
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {f"answer to {QUESTION}"}
    assert len(corrector.asked) == 1


async def test_logprobs_are_of_the_model_as_it_is(connect_demo) -> None:
    async with connect_demo() as client:
        body = await ask(client, chat(QUESTION, "demo", logprobs=True, top_logprobs=2, max_tokens=20))
    assert body["hopfix"]["corrected"] is False
    assert "logprobs" in body["hopfix"]["reason"]
    [choice] = body["choices"]
    tokens = choice["logprobs"]["content"]
    text = choice["message"]["content"]
    assert "".join(token["token"] for token in tokens) == text
    assert bytes(byte for token in tokens for byte in token["bytes"] or []).decode() == text
    assert len(tokens) == body["usage"]["completion_tokens"] + 1  # and the end of sequence, which has no text
    assert (tokens[-1]["token"], tokens[-1]["bytes"]) == ("", None)
    for token in tokens:
        assert len(token["top_logprobs"]) == 2
        assert token["top_logprobs"][0]["logprob"] == token["logprob"]  # greedy


async def test_a_chat_template_has_all_messages(connect_demo, demo, monkeypatch) -> None:
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}A:"
    monkeypatch.setattr(demo.tokenizer, "chat_template", template)
    monkeypatch.setattr("correction.corrector.Profile.check_model", lambda *_: None)
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": CAPITAL}]
    async with connect_demo() as client:
        body = await ask(client, {"model": "demo", "messages": messages, "max_tokens": 1})
    form = f"system: S\nuser: {CAPITAL}\nA:"
    assert body["usage"]["prompt_tokens"] == len(demo.tokenizer(form, add_special_tokens=False)["input_ids"])


async def test_a_template_that_refuses_is_the_requests_fault(connect_demo, demo, monkeypatch) -> None:
    monkeypatch.setattr(demo.tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    async with connect_demo() as client:
        response = await client.post("/v1/chat/completions", json=chat(CAPITAL, "demo"))
    assert response.status_code == 400
    assert "roles must alternate" in response.json()["error"]["message"]


async def test_shadow_mode_serves_the_model_as_it_is(connect_demo, caplog) -> None:
    caplog.set_level("INFO", "service.shadow")
    async with connect_demo(shadow=True) as client:
        body = await ask(client, chat(QUESTION, "demo", max_tokens=20))
        app = client._transport.app
        while app.state.hopfix._shadow._tasks:
            await app.state.hopfix._shadow._tasks.copy().pop()
    assert body["choices"][0]["message"]["content"].strip() == "Debra Crew"
    assert body["hopfix"] == {"corrected": False, "reason": "the service runs in shadow mode"}
    [record] = [record for record in caplog.records if record.name == "service.shadow"]
    assert (record.agrees, record.corrected) == (False, True)


async def test_in_shadow_mode_a_question_counts_once_however_many_answers_are_drawn(connect_demo, caplog) -> None:
    caplog.set_level("INFO", "service.shadow")
    async with connect_demo(shadow=True) as client:
        body = await ask(client, chat(QUESTION, "demo", n=3, temperature=1, max_tokens=5))
        tasks = client._transport.app.state.hopfix._shadow._tasks  # type: ignore[attr-defined]
        await asyncio.gather(*tasks)
    assert len(body["choices"]) == 3
    assert len([record for record in caplog.records if record.name == "service.shadow"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (chat(QUESTION, "other"), 404, "model_not_found", "model"),
        (chat(QUESTION, tools=[{}]), 400, "invalid_input", "tools"),
        (chat([{"type": "image_url", "image_url": {}}]), 400, "invalid_input", "messages"),
        (chat(QUESTION, max_tokens=100_000), 400, "invalid_input", "max_tokens"),
        ({"model": "stand-in"}, 400, "invalid_input", "messages"),
        ({"messages": []}, 400, "invalid_input", "model"),
        ([], 400, "invalid_input", None),
    ],
)
async def test_what_is_refused(connect, body: object, status: int, code: str, param: str | None) -> None:
    async with connect() as client:
        response = await client.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert (error["param"] or "").startswith(param or "")


async def test_too_many_choices_are_too_large(connect) -> None:
    async with connect(max_questions=4) as client:
        response = await client.post("/v1/chat/completions", json=chat(QUESTION, n=5))
    assert response.status_code == 413
