"""/v1/completions: each prompt is corrected or passed on by itself; models by their names."""

from __future__ import annotations

from typing import Any

import pytest

from service.openai.completions import Completion

pytestmark = pytest.mark.anyio
QUESTION = "Who runs the company that makes the Walkman?"
PLAIN = "The currency of Japan is"


async def ask(client: Any, prompt: object, model: str = "demo", **more: object) -> dict[str, Any]:
    response = await client.post("/v1/completions", json={"model": model, "prompt": prompt, **more})
    assert response.status_code == 200, response.text
    Completion.model_validate_json(response.text, strict=True)
    return response.json()  # type: ignore[no-any-return]


async def test_models_name_first(connect) -> None:
    async with connect() as client:
        models = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/stand-in:direct")).json()
        none = await client.get("/v1/models/org/other")
    assert [model["id"] for model in models["data"]] == ["stand-in", "stand-in:direct"]
    assert one == models["data"][1]
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_two_hop_question_is_corrected(connect) -> None:
    async with connect() as client:
        body = await ask(client, QUESTION, "stand-in", max_tokens=20)
    assert body["object"] == "text_completion"
    choice = {"index": 0, "text": f"answer to {QUESTION}", "logprobs": None, "finish_reason": "stop"}
    assert body["choices"] == [choice]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert body["hopfix"]["corrected"] is True


async def test_anything_else_is_completed_by_the_model(connect_demo) -> None:
    async with connect_demo() as client:
        body = await ask(client, PLAIN)
    assert body["choices"] == [{"index": 0, "text": " yen", "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}
    assert body["hopfix"] == {"corrected": False, "reason": "no two hops can be read from the prompt"}


async def test_each_of_several_prompts_for_itself(connect_demo, demo) -> None:
    ids = demo.tokenizer(PLAIN)["input_ids"]
    asked = demo.tokenizer(QUESTION)["input_ids"]
    async with connect_demo() as client:
        body = await ask(client, [QUESTION, PLAIN, ids, asked], n=2)
    assert [choice["index"] for choice in body["choices"]] == list(range(8))
    said = ["Kenichiro Yoshida", " yen", " yen", "Kenichiro Yoshida"]
    assert [choice["text"] for choice in body["choices"]] == [text for text in said for _ in range(2)]
    assert [evidence["corrected"] for evidence in body["hopfix"]] == [True, False, False, True]


async def test_token_ids_are_the_prompt_as_it_is(connect_demo, demo) -> None:
    ids = demo.tokenizer(PLAIN)["input_ids"]
    async with connect_demo() as client:
        as_text, as_ids = await ask(client, PLAIN, "demo:direct"), await ask(client, ids, "demo:direct")
        shortened = await ask(client, ids[:-1], "demo:direct")
    assert as_text["choices"] == as_ids["choices"]
    assert as_text["usage"] == as_ids["usage"]
    assert shortened["usage"]["prompt_tokens"] == as_ids["usage"]["prompt_tokens"] - 1


async def test_stop_strings_and_lengths(connect_demo) -> None:
    async with connect_demo() as client:
        stopped = (await ask(client, PLAIN, stop=["xyz", "en"]))["choices"][0]
        short = (await ask(client, PLAIN, max_tokens=2))["choices"][0]
    assert (stopped["text"], stopped["finish_reason"]) == (" y", "stop")
    assert (short["text"], short["finish_reason"]) == (" y", "length")


async def test_seeds_give_the_same_choices_again(connect_demo) -> None:
    sampled = {"temperature": 2, "max_tokens": 8, "n": 4}
    async with connect_demo() as client:
        first, again, other = [await ask(client, "The", **sampled, seed=seed) for seed in (5, 5, 2**63 - 1)]
    texts = [choice["text"] for choice in first["choices"]]
    assert texts == [choice["text"] for choice in again["choices"]]
    assert texts != [choice["text"] for choice in other["choices"]]
    assert len(set(texts)) > 1
    assert first["usage"]["prompt_tokens"] == 2  # counted once


async def test_a_long_prompt_is_too_long_in_openais_words(connect_demo) -> None:
    async with connect_demo() as client:
        for body in ({"prompt": "word " * 5000}, {"prompt": PLAIN, "max_tokens": 251}, {"prompt": [5] * 256}):
            response = await client.post("/v1/completions", json={"model": "demo", **body})
            assert response.status_code == 400
            assert response.json()["error"]["code"] == "context_length_exceeded"
        fits = await ask(client, [1] + [50] * 250)  # 16 tokens were the usual, 5 fit
    assert fits["usage"]["completion_tokens"] <= 5


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": [99_999_999]}, "prompt"),
        ({"prompt": PLAIN, "max_tokens": 2000}, "max_tokens"),
        ({"prompt": [[5] * 240] * 256, "max_tokens": 0, "echo": True, "logprobs": 20}, "logprobs"),  # 27 MB and more
        ({"prompt": PLAIN, "suffix": "."}, "suffix"),
        ({}, "prompt"),
    ],
)
async def test_what_is_refused(connect_demo, body: dict[str, object], param: str) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/completions", json={"model": "demo", **body})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_half_a_surrogate_pair_is_refused(connect_demo) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/completions", content=rb'{"model": "demo", "prompt": "\ud800"}')
    assert response.status_code == 400


async def test_a_full_service_refuses_at_once(connect) -> None:
    async with connect(max_in_flight=1, max_queued=0) as client:
        with client._transport.app.state.hopfix.admission.reserve("somebody"):
            response = await client.post("/v1/completions", json={"model": "stand-in", "prompt": QUESTION})
    assert (response.status_code, response.json()["error"]["code"]) == (429, "overloaded")
    assert int(response.headers["Retry-After"]) >= 1


async def test_what_the_model_was_asked_is_counted(connect_demo) -> None:
    async with connect_demo() as client:
        await ask(client, PLAIN)
        text = (await client.get("/metrics")).text
    assert 'hopfix_tokens_total{kind="prompt"} 6.0' in text
    assert 'hopfix_tokens_total{kind="generated"} 3.0' in text
