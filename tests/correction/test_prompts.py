"""Prompts: the placeholder is found by character offsets, in plain text and inside a chat template."""

from __future__ import annotations

import copy

import pytest

from correction.errors import InvalidInput
from correction.forms import Forms, Wording
from correction.models import LoadedModel
from correction.prompts import Prompts, as_prompt, without_full_stop
from correction.questions import Hops, Question

CHAT = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def prompts(demo: LoadedModel) -> Prompts:
    return Prompts(demo.tokenizer)


def with_template(demo: LoadedModel, template: str, form: str = "chat") -> Prompts:
    """Every kind of pass in one form, a target too: none of these names the bridge twice."""
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = template
    return Prompts(tokenizer, Forms(form, form, form, form))


@pytest.fixture
def chat(demo: LoadedModel) -> Prompts:
    return with_template(demo, CHAT)


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
    blank = prompts.encode_blank(text, width)
    assert len(blank.sites) == width
    assert {prompts.tokenizer.decode([blank.tokens[site]]).strip() for site in blank.sites} == {"x"}
    assert blank.tokens == prompts.encode(text.replace("{}", " ".join(["x"] * width)))


def test_the_blank_is_found_inside_a_chat_template(chat: Prompts) -> None:
    assert chat.form("Who wrote Dune?") == "<user> Who wrote Dune?\n<assistant>"
    blank = chat.encode_blank("The capital of {} is", 2)
    assert [chat.tokenizer.decode([blank.tokens[site]]).strip() for site in blank.sites] == ["x", "x"]
    assert chat.tokenizer.decode(list(blank.tokens)) == "<user> What is the capital of x x?\n<assistant>"


def test_braces_of_the_template_are_not_the_blank(demo: LoadedModel) -> None:
    prompts = with_template(demo, "tools: {} " + CHAT + " {}")
    blank = prompts.encode_blank("The capital of {} is")
    assert prompts.tokenizer.decode(list(blank.tokens[: blank.sites[0]])).endswith("What is the capital of")


def test_a_template_that_rewrites_the_text_is_refused(demo: LoadedModel) -> None:
    prompts = with_template(demo, "{{ messages[0].content | truncate(9) }}")
    with pytest.raises(InvalidInput, match="the chat template does not keep"):
        prompts.encode_blank("The capital of {} is")


def test_a_placeholder_that_the_tokenizer_splits_is_refused(demo: LoadedModel) -> None:
    with pytest.raises(InvalidInput, match="choose another placeholder"):
        Prompts(demo.tokenizer, placeholder="zqzq").encode_blank("The capital of {} is")


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
    prompts = with_template(demo, template, "plain")
    with pytest.raises(InvalidInput, match="the chat template refuses the messages"):
        prompts.encode_chat([{"role": "user", "content": "Hello"}])


def test_a_begun_answer_names_the_bridge_twice(demo: LoadedModel) -> None:
    prompts = Prompts(demo.tokenizer, Forms(hop2="begun", examples=()))
    assert (
        prompts.form("The capital of Peru is", "hop2") == "Q: What is the capital of Peru?\nA: The capital of Peru is"
    )
    blank = prompts.encode_blank("The capital of {} is", 2, "hop2")
    assert [len(mention) for mention in blank.mentions] == [2, 2]
    assert {prompts.tokenizer.decode([blank.tokens[site]]).strip() for site in blank.sites} == {"x"}


def test_a_name_has_the_tokens_that_it_has_as_text(prompts: Prompts) -> None:
    blank = prompts.encode_named("The capital of {} is", "South Africa", "hop2")
    assert blank.tokens == prompts.encode("The capital of South Africa is")
    (mention,) = blank.mentions
    assert prompts.tokenizer.decode([blank.tokens[site] for site in mention]).strip() == "South Africa"


def test_prompts_of_a_kind_share_their_examples(demo: LoadedModel) -> None:
    prompts = Prompts(demo.tokenizer, Forms("begun", "asked", "examples"))
    for kind in ("direct", "hop1", "hop2"):
        shared = prompts.shared(kind)
        assert len(shared) > 20
        for text in ("The capital of Peru is", "Who wrote Dune?"):
            assert prompts.encode(text, kind)[: len(shared)] == shared or (kind, text) == ("hop2", "Who wrote Dune?")
    assert prompts.shared("target") == ()


def test_a_chat_form_needs_a_template(demo: LoadedModel) -> None:
    with pytest.raises(InvalidInput, match="no chat template"):
        Prompts(demo.tokenizer, Forms("chat"))


def test_a_question_with_hops_has_the_statement_that_they_make() -> None:
    hops = Hops("The country where Petra is located is", "The official language of {} is")
    asked = Question("What language do they speak where Petra is?")
    statement = "The official language of the country where Petra is located is"
    assert asked.worded(hops) == Wording(asked.text, asked.text, statement)
    assert asked.worded(None).statement is None
    assert asked.worded(Hops("Petra is in", "The capital of {} is")).statement is None, "no noun phrase"
    given = Question("Who runs Sony?", direct="Sony is led by")
    assert given.worded(hops) == given.wording
