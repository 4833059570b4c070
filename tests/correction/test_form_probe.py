"""The probe of forms, on a stand-in for a model that is right in some forms and wrong in others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from correction.errors import PromptTooLong
from correction.form_probe import CHAINS, Chosen, choose_forms, is_right, probe
from correction.forms import FORMS, Forms, Kind, Wording
from correction.passes import Pass
from correction.prompts import Prompts
from tests.tokenizers import bytes_alone

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
ONE_TURN = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}" + CHAT
PHRASES = Forms(ends="phrase")
Rule = Callable[[Kind, str, int], bool]


class StandIn:
    """Says what is right of a chain in a form where `rule(kind, form, number of the chain)` says so."""

    name = "stand-in"

    def __init__(self, rule: Rule, template: str = "", context: int = 10**6) -> None:
        tokenizer = bytes_alone()
        tokenizer.chat_template = template or None
        text = lambda tokens: tokenizer.decode(list(tokens))  # noqa: E731
        self.loaded: Any = SimpleNamespace(tokenizer=tokenizer, text=text, fingerprint="sha256:" + "0123456789" * 6)
        self.context = context
        self.asked = 0
        self.shared: list[tuple[int, ...]] = []
        self.known: dict[tuple[int, ...], str] = {}
        for name, form in FORMS.items():
            if form.chat and not template:
                continue
            for number, chain in enumerate(CHAINS):
                second = Wording.of(chain.hop2).naming("{}", chain.bridges[0])
                parts: tuple[tuple[Kind, Any, str], ...] = (
                    ("direct", chain.direct, chain.answers[0]),
                    ("hop1", chain.hop1, chain.bridges[0]),
                    ("hop2", second, chain.answers[0]),
                    ("target", second, chain.answers[0]),
                )
                for kind, asked, answer in parts:
                    if rule(kind, name, number):
                        prompts = Prompts(tokenizer, PHRASES.having(kind, name))
                        self.known[prompts.encode(asked, kind)] = answer

    def share(self, beginnings: list[tuple[int, ...]]) -> None:
        self.shared += beginnings

    async def run(self, request: Pass, heard: object = None) -> Any:
        self.asked += 1
        if len(request.prompt) + request.sampling.max_tokens > self.context:
            raise PromptTooLong("too long", hint="")
        said = f" {self.known.get(request.prompt, 'I do not know')}. And so on"
        return SimpleNamespace(tokens=tuple(self.loaded.tokenizer(said, add_special_tokens=False)["input_ids"]))

    def chosen(self) -> Chosen:
        return asyncio.run(choose_forms(self.loaded, self, CHAINS))  # type: ignore[arg-type]

    def probed(self) -> Chosen:
        return asyncio.run(probe(self.loaded, self))  # type: ignore[arg-type]


def different_forms(kind: Kind, form: str, number: int) -> bool:
    """The best form of each kind is another one; begun is the best for hop 2, examples for the target."""
    return {
        ("direct", "asked"): number % 2 == 0,
        ("direct", "plain"): number % 4 == 0,
        ("hop1", "plain"): True,
        ("hop1", "asked"): number % 4 != 0,
        ("hop2", "begun"): True,
        ("target", "examples"): number % 4 != 0,
    }.get((kind, form), False)


def test_each_kind_has_the_form_that_is_right_most_often() -> None:
    engine = StandIn(different_forms)
    chosen = engine.chosen()
    assert chosen.forms == Forms("asked", "plain", "begun", "examples", "phrase")
    assert chosen.shares["direct"]["asked"] == 0.5
    assert chosen.shares["direct"]["plain"] == 0.25
    assert (chosen.shares["hop1"]["plain"], chosen.shares["hop1"]["asked"]) == (1.0, 0.75)
    assert (chosen.shares["hop2"]["begun"], chosen.shares["hop2"]["examples"]) == (1.0, 0.75)
    assert chosen.shares["target"]["examples"] == 0.75
    assert "begun" not in chosen.shares["target"], "a target names the bridge once"
    assert not any(name.startswith("chat") for shares in chosen.shares.values() for name in shares)
    assert (chosen.two_step, chosen.strategy) == (1.0, "two_step")
    assert Prompts(engine.loaded.tokenizer, chosen.forms).shared("hop2") in engine.shared


def test_the_whole_question_is_asked_where_that_is_right_more_often() -> None:
    chosen = StandIn(lambda kind, form, number: form == "plain" and (kind != "hop1" or number % 2 == 0)).chosen()
    assert chosen.forms == Forms("plain", "plain", "plain", "plain", "phrase")
    assert (chosen.two_step, chosen.shares["direct"]["plain"], chosen.strategy) == (0.5, 1.0, "direct")


def test_a_model_that_chats_is_asked_in_its_template() -> None:
    chosen = StandIn(lambda kind, form, number: form == "chat_examples_begun" or form == "chat", CHAT).chosen()
    assert {chosen.forms.direct, chosen.forms.hop1, chosen.forms.hop2} <= {"chat", "chat_examples_begun"}
    assert chosen.forms.target == "chat"
    assert chosen.two_step == 1.0


def test_a_template_that_takes_no_examples_is_no_end() -> None:
    def rule(kind: Kind, form: str, number: int) -> bool:
        return not FORMS[form].examples and form == "chat_begun"

    chosen = StandIn(rule, ONE_TURN).chosen()
    assert (chosen.forms.direct, chosen.forms.hop1, chosen.forms.hop2) == ("chat_begun", "chat_begun", "chat_begun")


def test_forms_that_do_not_fit_are_not_chosen() -> None:
    def rule(kind: Kind, form: str, number: int) -> bool:
        return FORMS[form].examples or (form == "plain" and number % 4 == 0)

    assert StandIn(rule).chosen().forms.hop1 != "plain"
    small = StandIn(rule, context=200).chosen()
    assert small.forms == Forms("plain", "plain", "plain", "plain", "phrase")
    assert small.shares["hop1"] == pytest.approx({"plain": 0.25} | dict.fromkeys(list(small.shares["hop1"])[1:], 0.0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path))
    return tmp_path / "forms"


def test_it_is_asked_once_and_remembered(folder: Path) -> None:
    engine = StandIn(different_forms)
    first = engine.probed()
    asked = engine.asked
    assert asked > 500
    assert engine.probed() == first
    assert engine.asked == asked
    other = StandIn(different_forms)
    other.loaded.fingerprint = "sha256:another"
    assert other.probed() == first
    assert other.asked == asked, "other weights are asked themselves"
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "no JSON",
        "[]",
        '{"forms": "plain", "shares": {}, "two_step": 1}',
        '{"forms": {"hop1": "poem"}, "shares": {}, "two_step": 1}',
        '{"forms": {"examples": 5}, "shares": {}, "two_step": 1}',
        '{"forms": {}, "shares": {}, "two_step": 1}',
        '{"forms": {}, "shares": {"direct": {"plain": "much"}}, "two_step": 1}',
        '{"forms": {"hop1": "chat"}, "shares": {"direct": {"plain": 1}}, "two_step": 1}',
    ],
)
def test_what_is_damaged_or_for_another_tokenizer_is_asked_again(folder: Path, damage: str) -> None:
    engine = StandIn(different_forms)
    first = engine.probed()
    asked = engine.asked
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(damage)
    assert engine.probed() == first
    assert engine.asked == 2 * asked
    assert json.loads(file.read_text()) == json.loads(whole)


def test_a_cache_that_cannot_be_written_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path / "file"))
    assert StandIn(different_forms).probed().forms.direct == "asked"
    assert "cannot be remembered" in caplog.text


@pytest.mark.parametrize(
    ("said", "right"), [("The rupee", True), ("rupee.", True), ("Indian Rupee", True), ("rupees", False), ("", False)]
)
def test_a_name_is_right_whatever_its_case_and_article(said: str, right: bool) -> None:
    assert is_right(said, ("rupee", "Indian rupee")) == right
