"""Log-probabilities are exactly the model's own: harnesses read them, and a wrong echo breaks them silently."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from correction.models import demo_folder
from service.openai.completions import CompletionForm

pytestmark = pytest.mark.anyio
TEXTS = [
    "The currency of Japan is yen",
    "Kruger National Park",
    "Zoë Łukasz 東京 \N{PARTY POPPER}, twice  spaced\nline",
]


@pytest.fixture(scope="module")
def transformers_own() -> Any:
    """The weights in transformers' own class: nothing of ours runs."""
    return AutoModelForCausalLM.from_pretrained(demo_folder()).eval()


def logprobs_of(model: Any, ids: list[int]) -> torch.Tensor:
    """(tokens, vocabulary), what the model gives after each token."""
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)


async def choices(client: Any, **body: Any) -> list[dict[str, Any]]:
    response = await client.post("/v1/completions", json={"model": "demo", **body})
    assert response.status_code == 200, response.text
    return response.json()["choices"]  # type: ignore[no-any-return]


def check(choice: dict[str, Any], own: torch.Tensor, ids: list[int]) -> None:
    """A choice that echoes these tokens, with the alternatives that were asked for."""
    scores, text = choice["logprobs"], choice["text"]
    assert scores["token_logprobs"][0] is None
    for at in range(1, len(ids)):
        assert scores["token_logprobs"][at] == pytest.approx(own[at - 1, ids[at]].item(), abs=1e-3)
    assert "".join(scores["tokens"]) == text
    for token, offset in zip(scores["tokens"], scores["text_offset"], strict=True):
        assert text[offset : offset + len(token)] == token


@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_an_echo_has_the_models_own_logprobs(connect_demo, demo, transformers_own, max_tokens: int) -> None:
    ids = [demo.tokenizer(text)["input_ids"] for text in TEXTS]
    async with connect_demo() as client:
        scored: dict[str, Any] = {"echo": True, "logprobs": 1, "max_tokens": max_tokens}
        of_texts = await choices(client, prompt=TEXTS, **scored)
        of_ids = await choices(client, prompt=ids, **scored)
    assert of_texts == of_ids
    for text, choice, tokens in zip(TEXTS, of_texts, ids, strict=True):
        own = logprobs_of(transformers_own, tokens)
        check(choice, own, tokens)
        scores = choice["logprobs"]
        assert choice["text"].startswith(demo.text(tokens))
        assert demo.text(tokens) == text
        # What harnesses cut off is what was generated: one token, also where it ends the sequence.
        assert len(scores["tokens"]) == len(tokens) + max_tokens
        for at in range(1, len(tokens)):
            best = max(scores["top_logprobs"][at].values())
            assert best == pytest.approx(own[at - 1].max().item(), abs=1e-3)
        if max_tokens:
            assert scores["token_logprobs"][-1] == pytest.approx(own[-1].max().item(), abs=1e-3)


async def test_a_likely_token_is_found_among_the_alternatives(connect_demo, demo, transformers_own) -> None:
    """As harnesses look whether a text is the greedy one: by the texts of tokens."""
    prompt = "The currency of Japan is yen"
    ids = demo.tokenizer(prompt)["input_ids"]
    own = logprobs_of(transformers_own, ids)
    async with connect_demo() as client:
        [choice] = await choices(client, prompt=prompt, echo=True, logprobs=1, max_tokens=1)
    scores = choice["logprobs"]
    for at in range(1, len(ids)):
        top = scores["top_logprobs"][at]
        said = max(top, key=top.get) == scores["tokens"][at]
        assert said == (own[at - 1].argmax().item() == ids[at])


async def test_generated_tokens_have_theirs(connect_demo, demo, transformers_own) -> None:
    prompt = "The currency of Japan is"
    ids = demo.tokenizer(prompt)["input_ids"]
    async with connect_demo() as client:
        [choice] = await choices(client, prompt=prompt, logprobs=3)
    scores = choice["logprobs"]
    said = demo.tokenizer(prompt + choice["text"])["input_ids"][len(ids) :]
    own = logprobs_of(transformers_own, [*ids, *said])
    assert "".join(scores["tokens"]) == choice["text"]
    assert scores["text_offset"][0] == 0
    greedy = [own[at - 1].max().item() for at in range(len(ids), len(ids) + len(said) + 1)]
    assert scores["token_logprobs"] == pytest.approx(greedy, abs=1e-3)  # the end of sequence is the last
    for top, token in zip(scores["top_logprobs"], scores["tokens"], strict=True):
        assert len(top) == 3
        assert token in top


async def test_no_alternatives_are_none(connect_demo) -> None:
    async with connect_demo() as client:
        [choice] = await choices(client, prompt=TEXTS[0], echo=True, logprobs=0, max_tokens=0)
    assert choice["logprobs"]["top_logprobs"] is None
    assert choice["logprobs"]["token_logprobs"][0] is None


async def test_an_echo_without_scores_is_the_prompt_and_what_follows(connect_demo) -> None:
    async with connect_demo() as client:
        [choice] = await choices(client, prompt="The currency of Japan is", echo=True)
        [read] = await choices(client, prompt="The currency of Japan is", echo=True, max_tokens=0)
    assert choice["text"] == "The currency of Japan is yen"
    assert read["text"] == "The currency of Japan is"


async def test_a_stop_string_cuts_tokens_and_text_alike(connect_demo) -> None:
    async with connect_demo() as client:
        [choice] = await choices(client, prompt="The currency of Japan is", logprobs=1, stop="n")
    assert choice["text"] == " ye"
    assert "".join(choice["logprobs"]["tokens"]) == " ye"


@pytest.mark.parametrize("stream", [False, True])
async def test_many_logprobs_are_not_written_by_the_event_loop(
    connect_demo, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    writers = set()
    choices_of = CompletionForm._choices

    def seen(form: CompletionForm, said: Any) -> Any:
        writers.add(threading.current_thread())
        return choices_of(form, said)

    monkeypatch.setattr(CompletionForm, "_choices", seen)
    body = {"model": "demo", "prompt": [[7] * 100] * 2, "echo": True, "logprobs": 20, "max_tokens": 1, "stream": stream}
    async with connect_demo() as client:
        assert (await client.post("/v1/completions", json=body)).status_code == 200
    assert writers
    assert threading.current_thread() not in writers
