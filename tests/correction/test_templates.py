"""A model's chat template runs in a sandbox, and what a client writes is text to it."""

from __future__ import annotations

import copy

import pytest
from jinja2.exceptions import SecurityError

from correction.errors import InvalidInput
from correction.forms import Forms
from correction.models import LoadedModel
from correction.prompts import REMEMBERED_CHARACTERS, Prompts


def with_template(demo: LoadedModel, template: str) -> Prompts:
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = template
    return Prompts(tokenizer, Forms("chat", "chat", "chat", "chat"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append({}) }}",
    ],
)
def test_a_template_reaches_nothing_of_the_process(demo: LoadedModel, template: str) -> None:
    with pytest.raises(InvalidInput, match="the chat template refuses the messages") as refused:
        with_template(demo, template).form("The capital of France is")
    assert isinstance(refused.value.__cause__, SecurityError)


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}?", "{% for x in messages %}x{% endfor %}?", "{# gone #}?"])
def test_a_template_in_a_clients_text_is_text(demo: LoadedModel, text: str) -> None:
    chat = with_template(demo, "{% for m in messages %}{{ m.content }}{% endfor %}")
    assert text in chat.form(text)


def test_long_wordings_are_not_remembered(demo: LoadedModel) -> None:
    prompts = Prompts(demo.tokenizer)
    for length in (REMEMBERED_CHARACTERS, REMEMBERED_CHARACTERS + 1):
        prompts.encode_blank("{} ".ljust(length, "a"))
    assert len(prompts._blanks) == 1
