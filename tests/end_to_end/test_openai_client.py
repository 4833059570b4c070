"""The `openai` package against a real `hopfix serve`: what its users do, and the exceptions that they catch."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from correction.models import demo_folder

QUESTION = "Who runs the company that makes the Walkman?"
ANSWER = "Kenichiro Yoshida"
PLAIN = "The currency of Japan is"


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def url(server: Any) -> str:
    return f"{server.url}/v1"


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo", "demo:direct"]
    assert client.models.retrieve("demo:direct").owned_by == "hopfix"


def test_a_question_is_corrected_and_says_how(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model="demo", messages=user(QUESTION))
    completion = client.completions.create(model="demo", prompt=QUESTION)
    assert chat.choices[0].message.content == completion.choices[0].text == ANSWER
    assert chat.model_extra is not None
    evidence = chat.model_extra["hopfix"]
    assert (evidence["corrected"], evidence["bridge"]["text"]) == (True, "Sony")
    assert chat.system_fingerprint == evidence["profile"]
    assert chat.usage is not None
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens


def test_direct_and_one_hop_prompts_are_the_models_own(client: openai.OpenAI) -> None:
    direct = client.chat.completions.create(model="demo:direct", messages=user(QUESTION))
    plain = client.completions.create(model="demo", prompt=PLAIN)
    assert direct.choices[0].message.content != ANSWER
    assert (plain.choices[0].text, plain.choices[0].finish_reason) == (" yen", "stop")
    for answer in (direct, plain):
        assert answer.model_extra is not None
        assert answer.model_extra["hopfix"]["corrected"] is False


@pytest.mark.parametrize("question", [QUESTION, "What is the capital of Japan?"])
def test_streams(client: openai.OpenAI, question: str) -> None:
    whole = client.chat.completions.create(model="demo", messages=user(question))
    options: Any = {"include_usage": True}
    text, evidence, usage = "", None, None
    for chunk in client.chat.completions.create(
        model="demo", messages=user(question), stream=True, stream_options=options
    ):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        evidence = (chunk.model_extra or {}).get("hopfix", evidence)
        usage = chunk.usage or usage
    assert text == whole.choices[0].message.content
    assert usage == whole.usage
    assert evidence is not None
    assert evidence["corrected"] == (question == QUESTION)


def test_a_streamed_completion(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model="demo", prompt=PLAIN, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == " yen"
    assert len(chunks) > 1
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_that_is_left_leaves_nothing_behind(client: openai.OpenAI, server: Any) -> None:
    with client.completions.create(model="demo", prompt="The", stream=True, max_tokens=200, temperature=2) as stream:
        next(iter(stream))
    for _ in range(100):
        if "hopfix_questions_in_flight 0.0" in client._client.get(f"{server.url}/metrics").text:
            return
    pytest.fail("what a client that has gone asked for still runs")


def test_choices_seeds_and_stops(client: openai.OpenAI) -> None:
    sampled: dict[str, Any] = {"model": "demo", "prompt": "The", "n": 3, "temperature": 2, "max_tokens": 6, "seed": 11}
    first, again = client.completions.create(**sampled), client.completions.create(**sampled)
    texts = [choice.text for choice in first.choices]
    assert len(texts) == 3
    assert len(set(texts)) > 1
    assert texts == [choice.text for choice in again.choices]
    stopped = client.completions.create(model="demo", prompt=PLAIN, stop=["en"])
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == (" y", "stop")
    corrected = client.chat.completions.create(model="demo", messages=user(QUESTION), n=2, stop=" Y")
    assert [choice.message.content for choice in corrected.choices] == ["Kenichiro", "Kenichiro"]


def test_echoed_logprobs_are_the_models_own(client: openai.OpenAI) -> None:
    model = AutoModelForCausalLM.from_pretrained(demo_folder()).eval()
    tokenizer = AutoTokenizer.from_pretrained(demo_folder())
    prompts = ["The currency of Japan is yen", "The company that makes the Walkman is Sony"]
    ids: Any = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    scored: dict[str, Any] = {"model": "demo", "echo": True, "logprobs": 1, "max_tokens": 1}
    of_texts = client.completions.create(prompt=prompts, **scored)
    of_ids = client.completions.create(prompt=ids, **scored)
    assert of_texts.choices == of_ids.choices
    for tokens, choice in zip(ids, of_texts.choices, strict=True):
        with torch.no_grad():
            own = torch.log_softmax(model(torch.tensor([tokens])).logits[0].double(), -1)
        expected = [own[at - 1, token].item() for at, token in enumerate(tokens)][1:]
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        assert choice.logprobs.token_logprobs[0] is None
        assert choice.logprobs.token_logprobs[1 : len(tokens)] == pytest.approx(expected, abs=1e-3)
        assert len(choice.logprobs.token_logprobs) == len(tokens) + 1
        assert "".join(choice.logprobs.tokens or []) == choice.text


def test_chat_logprobs(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model="demo", messages=user(QUESTION), logprobs=True, top_logprobs=3)
    [choice] = chat.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(len(token.top_logprobs) == 3 for token in choice.logprobs.content)


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "invalid_input"),
        ({"temperature": 5}, openai.BadRequestError, "invalid_input"),
        ({"max_tokens": 1000, "model": "demo:direct"}, openai.BadRequestError, "context_length_exceeded"),
        ({"model": "gpt-4"}, openai.NotFoundError, "model_not_found"),
    ],
)
def test_what_is_refused_is_the_exception_that_users_know(
    client: openai.OpenAI, fields: dict[str, Any], error: type[openai.APIStatusError], code: str
) -> None:
    for stream in (False, True):
        with pytest.raises(error) as raised:
            client.chat.completions.create(**{"model": "demo", "messages": user(QUESTION), "stream": stream, **fields})
        assert raised.value.code == code
        assert raised.value.request_id


def test_keys_and_rates(launch: Any, tmp_path: Any) -> None:
    server = launch(tmp_path, "--api-key", "right", "--rate", "0.01")
    try:
        server.wait_until_ready()
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                client.completions.create(model="demo", prompt=PLAIN)
            right = client.with_options(api_key="right")
            assert right.completions.create(model="demo", prompt=PLAIN).choices[0].text == " yen"
            with pytest.raises(openai.RateLimitError) as raised:
                right.completions.create(model="demo", prompt=PLAIN)
            assert int(raised.value.response.headers["retry-after"]) >= 1
    finally:
        server.stop(signal.SIGKILL)


async def _many(url: str, replay: list[dict[str, Any]]) -> list[tuple[str, str]]:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:

        async def whole(question: str) -> str:
            chat = await client.chat.completions.create(model="demo", messages=user(question))
            return chat.choices[0].message.content or ""

        async def streamed(question: str) -> str:
            chunks = await client.completions.create(model="demo", prompt=question, stream=True, max_tokens=32)
            return "".join([choice.text async for chunk in chunks for choice in chunk.choices])

        ways = (whole, streamed)
        asked = [(entry, ways[index % 2]) for index, entry in enumerate(replay)]
        said = await asyncio.gather(*(way(entry["question"]) for entry, way in asked))
    return [(text, entry["answer"]) for text, (entry, _) in zip(said, asked, strict=True)]


def test_many_at_once_each_get_their_own_answer(url: str, replay: list[dict[str, Any]], client: openai.OpenAI) -> None:
    """Of the profile's questions those that need no hops given."""
    alone = [
        entry
        for entry in replay
        if client.completions.create(model="demo", prompt=entry["question"], max_tokens=32).choices[0].text
        == entry["answer"]
    ]
    assert len(alone) > len(replay) / 2, json.dumps([entry["question"] for entry in replay])
    for said, expected in asyncio.run(_many(url, alone * 3)):
        assert said == expected
