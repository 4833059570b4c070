"""Passages before the prompts, against a real service: what it ran, and that its answers are what the model says then.

The bundled model was never taught to read: nothing here says that it answers better with a passage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.client import AnswerRequest, Client, Refused, TokenizeRequest
from service.pipelines.asking import reading

QUESTION = "What is the currency of the country where Kruger National Park is located?"
PASSAGES = ["Kruger National Park is a game reserve.", "A set may be written as {}."]
BEFORE = "Kruger National Park is a game reserve.\nA set may be written as { }.\n"
HOP1, HOP2 = "The country where Kruger National Park is located is", "The currency of {} is"


@pytest.fixture
def hopfix(server: Any) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def completed(client: httpx.Client, prompt: str) -> str:
    """What the model as it is makes of a prompt, as a strategy takes it: the first line, without its full stop."""
    body = {"model": "demo:direct", "prompt": prompt, "max_tokens": 16, "stop": ["\n"]}
    return client.post("/v1/completions", json=body).json()["choices"][0]["text"].strip().removesuffix(".")


def test_the_service_ran_each_hop_with_its_passages(hopfix: Client, client: httpx.Client) -> None:
    asked = AnswerRequest(question=QUESTION, strategy="two_step", with_direct=True)
    answer = hopfix.answer(reading(asked, PASSAGES))
    assert [hop.prompt for hop in answer.hops] == [BEFORE + HOP1, BEFORE + HOP2]
    bridge, last = (hop.text for hop in answer.hops)
    assert bridge == completed(client, BEFORE + HOP1)
    assert answer.answer == last == completed(client, BEFORE + HOP2.replace("{}", bridge))
    assert answer.direct_answer == completed(client, f"Q: {BEFORE}{QUESTION}\nA:")


def test_a_patched_pass_has_the_passages_too(hopfix: Client) -> None:
    answer = hopfix.answer(reading(AnswerRequest(question=QUESTION, strategy="patched"), PASSAGES))
    assert answer.corrected
    tokens = [hopfix.tokenize(TokenizeRequest(question=hop.prompt)).count for hop in answer.hops]
    assert (answer.usage.passes, answer.usage.prompt_tokens) == (2, sum(tokens))
    without = hopfix.answer(AnswerRequest(question=QUESTION, strategy="patched"))
    assert answer.usage.prompt_tokens > 2 * without.usage.prompt_tokens


def test_a_question_of_one_hop_is_read_and_not_corrected(hopfix: Client, client: httpx.Client) -> None:
    answer = hopfix.answer(reading(AnswerRequest(question="Who runs Sony?"), ["Sony is a company."]))
    assert (answer.strategy, answer.corrected) == ("direct", False)
    assert answer.answer == completed(client, "Q: Sony is a company.\nWho runs Sony?\nA:")


def test_passages_that_do_not_fit_are_refused_by_the_models_context(hopfix: Client) -> None:
    with pytest.raises(Refused, match="256") as caught:
        hopfix.answer(reading(AnswerRequest(question=QUESTION), ["Kruger National Park is a game reserve."] * 100))
    assert caught.value.status == 400
