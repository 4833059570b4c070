"""A model without a profile: text in forms that fit it, a patch only where one is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from correction import form_probe, loading
from correction.answers import Answer
from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import InvalidInput, InvalidProfile
from correction.forms import Forms
from correction.loading import open_corrector
from correction.models import LoadedModel, demo_profile_folder
from correction.profile import Choice, Profile
from correction.questions import Question

KRUGER = Question.from_fields(None, "The country where Kruger National Park is located is", "The currency of {} is")
NOBODY = "the model has no profile, so nobody has measured whether a patch helps it"
ON_CPU = {"device": "cpu", "dtype": "float32"}


def opened(ask: Callable[[Corrector], Awaitable[Any]], *args: Any, **settings: Any) -> Any:
    """What is asked of a corrector that is opened by names."""

    async def go() -> Any:
        corrector = await open_corrector(*args, **ON_CPU, **settings)
        try:
            return await ask(corrector)
        finally:
            await corrector.engine.close()

    return asyncio.run(go())


async def itself(corrector: Corrector) -> Corrector:
    return corrector


def uncalibrated(demo: LoadedModel, found: str, question: Question, **asked: Any) -> Answer:
    """The demo model as one of which the probe found that this text strategy is the better one."""

    async def go() -> Answer:
        engine = HFEngine(demo)
        used = Profile.uncalibrated(demo, 16, Forms(), found)
        try:
            return await Corrector(demo, engine, uncalibrated=used).answer(question, **asked)
        finally:
            await engine.close()

    return asyncio.run(go())


def test_it_answers_by_text_and_says_why(demo: LoadedModel) -> None:
    answer = uncalibrated(demo, "two_step", KRUGER)
    assert (answer.answer, answer.strategy, answer.corrected) == ("rand", "two_step", False)
    assert (answer.patch, answer.profile) == (None, None)
    assert (answer.fallback.reason, answer.fallback.strategy) == (NOBODY, "two_step")
    assert answer.bridge.text == "South Africa"
    assert answer.usage.passes == 2


def test_it_answers_directly_where_that_is_better(demo: LoadedModel) -> None:
    answer = uncalibrated(demo, "direct", KRUGER)
    plain = uncalibrated(demo, "direct", KRUGER, strategy="direct")
    assert (answer.strategy, answer.corrected, answer.patch, answer.profile) == ("direct", False, None, None)
    assert (answer.fallback.reason, answer.fallback.strategy) == (NOBODY, "direct")
    assert answer.answer == answer.direct_answer == plain.answer
    assert (answer.bridge, answer.usage.passes) == (None, 1)


@pytest.mark.parametrize("strategy", ["two_step", "direct"])
@pytest.mark.parametrize(
    ("asked", "patch"),
    [
        ({"strategy": "patched"}, Choice(3, 1, "identity")),
        ({"strategy": "mid_layer"}, Choice(3, 1, "identity")),
        ({"strategy": "hard_token"}, Choice(6, 0, "hard_token")),
        ({"choice": Choice(6, 0, "vocabulary")}, Choice(6, 0, "vocabulary")),
        ({"choice": Choice(4, 2, "identity")}, Choice(4, 2, "identity")),
    ],
)
def test_a_patch_that_is_asked_for_is_made(
    demo: LoadedModel, strategy: str, asked: dict[str, Any], patch: Choice
) -> None:
    answer = uncalibrated(demo, strategy, KRUGER, **asked)
    assert (answer.corrected, answer.patch, answer.fallback, answer.profile) == (True, patch, None, None)
    if patch.mapping != "identity":
        assert answer.answer == "rand"


def test_none_is_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The probe finds the forms the first time, and is not asked again."""
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        first = opened(itself, profile="none")
    assert first.profile is None
    assert "demo has no profile: it answers by text, and nothing is patched unless that is asked for" in caplog.text
    assert first.used.forms == replace(first.used.forms, direct="plain", hop1="plain", hop2="plain", ends="line"), (
        "the model was trained on texts as they stand"
    )
    assert first.used.strategy == "two_step"
    assert len(list((tmp_path / "forms").iterdir())) == 1

    async def never(*args: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(form_probe, "choose_forms", never)
    assert opened(itself, profile="none").used == first.used
    answer = opened(lambda c: c.answer(KRUGER), profile="none")
    assert (answer.answer, answer.corrected, answer.profile, answer.fallback.reason) == ("rand", False, None, NOBODY)


def test_a_form_is_taken_instead_of_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*args: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(loading, "probe", never)
    for settings in ({}, {"profile": "none"}):
        used = opened(itself, form="begun", **settings)
        assert (used.profile, used.used.forms) == (None, Forms.all_of("begun"))
        assert used.prompts.forms == Forms("begun", "begun", "begun", "examples", "phrase")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"form": "poem"}, "unknown form 'poem': choose one of plain, examples, asked, begun, chat"),
        ({"form": "poem", "profile": "none"}, "unknown form 'poem'"),
        ({"form": "plain", "profile": demo_profile_folder()}, "a profile has its own forms: give a profile or a form"),
    ],
)
def test_a_form_that_cannot_be_is_refused_before_a_model_is_loaded(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        opened(itself, "no-such-model", **settings)


def test_a_chat_form_needs_a_model_that_chats() -> None:
    with pytest.raises(InvalidInput, match="a form is a chat, and the tokenizer has no chat template"):
        opened(itself, form="chat")


def test_the_bundled_profile_is_for_the_bundled_weights(
    other_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for by name it is refused; coming with the model's name it is left aside."""
    with pytest.raises(InvalidProfile, match="the profile was made for the model 'demo'"):
        opened(itself, str(other_model), profile=demo_profile_folder())
    monkeypatch.setattr(loading, "bundled_profile_folder", lambda model: demo_profile_folder())
    with caplog.at_level(logging.WARNING):
        assert opened(itself, str(other_model)).profile is None
    assert "is for other weights" in caplog.text


def test_a_context_too_small_for_examples(demo: LoadedModel, tmp_path: Path) -> None:
    """The demo model in 40 tokens: forms without examples are what is left, and they are found."""
    demo.model.save_pretrained(tmp_path / "short")
    demo.tokenizer.save_pretrained(tmp_path / "short")
    config = tmp_path / "short" / "config.json"
    config.write_text(config.read_text().replace(f'"max_position_embeddings": {demo.context}', _SHORT))
    assert _SHORT in config.read_text()

    async def ask(corrector: Corrector) -> tuple[Profile, Answer]:
        assert corrector.loaded.context == 40
        return corrector.used, await corrector.answer(KRUGER)

    used, answer = opened(ask, str(tmp_path / "short"))
    assert {used.forms.of(kind).name for kind in ("direct", "hop1", "hop2", "target")} == {"plain"}
    assert (answer.answer, answer.corrected) == ("rand", False)


_SHORT = '"max_position_embeddings": 40'
