"""Prompts: the placeholder is found by character offsets, in plain text and inside a chat template."""

from __future__ import annotations

import copy

import pytest

from correction.errors import InvalidInput
from correction.models import LoadedModel
from correction.prompts import Prompts, as_prompt, without_full_stop

CHAT = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def prompts(demo: LoadedModel) -> Prompts:
    return Prompts.of(demo.tokenizer)


@pytest.fixture
def chat(demo: LoadedModel) -> Prompts:
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = CHAT
    return Prompts.of(tokenizer)


def test_questions_ask_and_clozes_stay() -> None:
    assert as_prompt("Who wrote Dune?") == "Q: Who wrote Dune?\nA:"
    assert as_prompt("  The author of Dune is ") == "The author of Dune is"


@pytest.mark.parametrize(
    ("said", "answer"),
    [("rand.", "rand"), ("Cape Town.", "Cape Town"), ("Washington D.C.", "Washington D.C."), (".za", ".za"), ("", "")],
)
def test_only_the_full_stop_of_a_sentence_goes(said: str, answer: str) -> None:
    assert without_full_stop(said) == answer


@pytest.mark.parametrize(
    "text", ["The currency of {} is", "{} was founded by", "Where was {} born?", "{}'s capital is"]
)
@pytest.mark.parametrize("width", [1, 3])
def test_the_blank_becomes_placeholder_tokens(prompts: Prompts, text: str, width: int) -> None:
    ids, sites = prompts.encode_blank(text, width)
    assert len(sites) == width
    assert {prompts.tokenizer.decode([ids[site]]).strip() for site in sites} == {"x"}
    assert ids == prompts.encode(text.replace("{}", " ".join(["x"] * width)))


def test_the_blank_is_found_inside_a_chat_template(chat: Prompts) -> None:
    assert chat.chat
    assert chat.form("Who wrote Dune?").startswith("<user> Answer with the answer only")
    ids, sites = chat.encode_blank("The capital of {} is", 2)
    assert [chat.tokenizer.decode([ids[site]]).strip() for site in sites] == ["x", "x"]
    assert chat.tokenizer.decode(list(ids)).rstrip().endswith("<assistant>")


def test_braces_of_the_template_are_not_the_blank(demo: LoadedModel) -> None:
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = "tools: {} " + CHAT + " {}"
    ids, sites = Prompts.of(tokenizer).encode_blank("The capital of {} is")
    assert tokenizer.decode(list(ids[: sites[0]])).endswith("The capital of")


def test_a_template_that_rewrites_the_text_is_refused(demo: LoadedModel) -> None:
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = "{{ messages[0].content | upper }}"
    with pytest.raises(InvalidInput, match="the chat template does not keep"):
        Prompts.of(tokenizer).encode_blank("The capital of {} is")


def test_a_placeholder_that_the_tokenizer_splits_is_refused(demo: LoadedModel) -> None:
    with pytest.raises(InvalidInput, match="choose another placeholder"):
        Prompts.of(demo.tokenizer, "zqzq").encode_blank("The capital of {} is")


def test_a_placeholder_merged_with_its_neighbour_is_refused(prompts: Prompts) -> None:
    piece = max((p for p in prompts.tokenizer.get_vocab() if p.count("x") == 1 and p.isascii()), key=len)
    with pytest.raises(InvalidInput, match="choose another placeholder"):
        prompts.encode_blank(f"The capital of {piece.replace('x', '{}')} is")


def test_a_chat_becomes_what_its_template_makes_of_it(chat: Prompts) -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote Dune?"}]
    text = chat.tokenizer.decode(list(chat.encode_chat(messages)))
    assert text == "<system> Be short.\n<user> Who wrote Dune?\n<assistant>"


def test_without_a_template_the_last_user_message_is_asked(prompts: Prompts) -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "user", "content": "Who wrote Dune?"}]
    assert prompts.encode_chat(messages) == prompts.encode("Who wrote Dune?")
    with pytest.raises(InvalidInput, match="no user message"):
        prompts.encode_chat([{"role": "system", "content": "Be short."}])


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('roles must alternate') }}", "{{ 1 / 0 }}", "{{ messages[7].content }}", "{% oops"]
)
def test_messages_that_a_template_refuses_are_bad_input(demo: LoadedModel, template: str) -> None:
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = template
    with pytest.raises(InvalidInput, match="the chat template refuses the messages"):
        Prompts.of(tokenizer).encode_chat([{"role": "user", "content": "Hello"}])
