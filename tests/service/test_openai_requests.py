"""What OpenAI's clients may send: what is understood, what is left out, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from correction.errors import InvalidInput
from service.openai.plan import two_hops
from service.openai.requests import Asked, ChatRequest, CompletionRequest

QUESTION = "Who runs the company that makes the Walkman?"


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.parse({"model": "m", "prompt": "P", **fields})


def chat(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return ChatRequest.parse({"model": "m", "messages": list(messages) or [{"role": "user", "content": "P"}], **fields})


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["a", [1]], ["a", [1]]),
        ("", [""]),
    ],
)
def test_a_prompt_is_a_text_token_ids_or_a_list_of_these(prompt: object, prompts: object) -> None:
    asked = completion(prompt=prompt)
    assert asked.prompts == prompts
    assert asked.several == (len(prompts) > 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "prompt", [None, 5, {}, [], [[]], [None], [1, "a"], [-1], [1 << 31], [True], [1.5], ["\ud800"]]
)
def test_anything_else_is_no_prompt(prompt: object) -> None:
    with pytest.raises(InvalidInput) as error:
        completion(prompt=prompt)
    assert (error.value.param or "").startswith("prompt")


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "metadata": {"a": 1}, "store": True, "service_tier": "auto", "parallel_tool_calls": True},
        {"tools": [], "tool_choice": "none", "functions": None, "logit_bias": {}, "suffix": ""},
        {"presence_penalty": 0, "frequency_penalty": 0.0, "response_format": {"type": "text"}, "modalities": ["text"]},
        {
            "n": 2,
            "stop": ["\nclass", "\ndef", "\n#", "\nif", "</s>"],
            "temperature": 1,
            "top_p": 1,
            "seed": -5,
            "max_tokens": 3,
        },
        {"n": None, "stop": None, "temperature": None, "top_p": None, "seed": None, "stream": None},
        {"stream": True, "stream_options": {"include_usage": True}},
    ],
)
def test_what_both_endpoints_take(fields: dict[str, Any]) -> None:
    completion(**fields)
    chat(**fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"suffix": "."}, "suffix"),
        ({"temprature": 0}, "temprature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"seed": 1 << 63}, "seed"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": None}, "model"),
    ],
)
def test_what_neither_takes(fields: dict[str, Any], param: str) -> None:
    for ask in (completion, chat):
        with pytest.raises(InvalidInput) as error:
            ask(**fields)
        assert (error.value.param or "").startswith(param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 2}, "best_of"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"max_completion_tokens": 3}, "max_completion_tokens"),
    ],
)
def test_what_a_completion_does_not_take(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as error:
        completion(**fields)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CompletionRequest, {"prompt": [True] * 1000}),
        (CompletionRequest, {"prompt": [[True] * 1000]}),
        (ChatRequest, {"messages": [1] * 1000}),
        (ChatRequest, {"messages": [{"role": "user", "content": [{}] * 1000}]}),
    ],
)
def test_a_list_is_judged_up_to_its_first_fault(kind: type[Asked], fields: dict[str, Any]) -> None:
    """A body has room for 200,000 faults, and telling them all would hold up the others for seconds."""
    with pytest.raises(ValidationError) as error:
        kind.model_validate({"model": "m", **fields})
    assert error.value.error_count() < 5


def test_a_part_that_is_wrong_is_named_and_not_told_the_requests_fields() -> None:
    with pytest.raises(InvalidInput, match=r"^messages\.0 is not an object$"):
        ChatRequest.parse({"model": "m", "messages": ["hello"]})
    with pytest.raises(InvalidInput, match=r"^unknown field 'messages\.0\.colour'$"):
        chat({"role": "user", "content": "P", "colour": "red"})


def test_best_of_may_be_what_n_is() -> None:
    assert completion(best_of=1).choices == 1
    assert completion(n=3, best_of=3).choices == 3


def test_a_prompt_may_be_read_with_nothing_generated() -> None:
    assert completion(max_tokens=0, echo=True).most_tokens == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": 2}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"echo": True}, "echo"),
        ({"prompt": "P"}, "prompt"),
    ],
)
def test_what_a_chat_does_not_take(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as error:
        ChatRequest.parse({"model": "m", "messages": [{"role": "user", "content": "P"}], **fields})
    assert error.value.param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": []},
        {"role": "user", "content": 5},
        {"role": "user", "content": "P", "colour": "red"},
        {"content": "P"},
        "P",
    ],
)
def test_messages_are_text_of_known_roles(message: Any) -> None:
    with pytest.raises(InvalidInput):
        chat(message)


def test_an_answers_message_can_be_sent_back() -> None:
    answer = {"role": "assistant", "content": "A", "refusal": None, "annotations": [], "tool_calls": None}
    asked = chat(
        {"role": "developer", "content": "D"}, answer, {"role": "user", "content": [{"type": "text", "text": "Q"}]}
    )
    assert asked.chat == [
        {"role": "system", "content": "D"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "Q"},
    ]
    assert asked.question == "Q"


def test_a_chat_in_which_another_has_the_last_word_asks_nothing() -> None:
    assert chat({"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}).question is None


def test_max_completion_tokens_is_the_newer_name() -> None:
    assert chat(max_tokens=5).most_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=3).most_tokens == 3


def test_two_hops_are_read_from_a_prompt_of_one_line() -> None:
    found = two_hops(f"  {QUESTION}\n")
    assert found is not None
    assert (found.question, found.hop1, found.hop2) == (
        QUESTION,
        "The company that makes the Walkman is",
        "Who runs {}?",
    )
    for text in (None, "", "What is the capital of France?", f"Q: {QUESTION}\nA:", f"{QUESTION}\n{QUESTION}"):
        assert two_hops(text) is None
