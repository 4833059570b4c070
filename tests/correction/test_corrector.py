"""The corrector on the bundled model: strategies, fallbacks, and what an answer may claim."""

from __future__ import annotations

import asyncio

import pytest

from correction.answers import Answer
from correction.corrector import STRATEGIES, Corrector
from correction.errors import InvalidInput, PromptTooLong
from correction.models import LoadedModel
from correction.passes import Pass, PassResult
from correction.profile import Choice, Profile
from correction.questions import Question
from eval.demo_world.questions import demo_questions
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 96)
PATCHING = ("patched", "hard_token", "mid_layer", "back_patched", "deployed")


def accuracy(answers: list[Answer], questions: list[GoldQuestion]) -> float:
    return sum(exact_match(a.answer, q.accepted) for a, q in zip(answers, questions, strict=True)) / len(questions)


def test_a_question_is_corrected(asked: Asked, demo_profile: Profile) -> None:
    """What the design promises of an answer object, on one that the profile is known to answer."""
    known = demo_profile.replay[0]
    answer = asked(lambda c: c.answer(Question.from_fields(known.question, id="q1"), with_direct=True))
    assert answer.answer == known.answer
    assert (answer.id, answer.strategy, answer.corrected, answer.fallback) == ("q1", "deployed", True, None)
    assert answer.direct_answer is not None
    assert 0 < answer.bridge.probability <= 1
    assert answer.patch == demo_profile.choice
    assert [hop.text for hop in answer.hops] == [answer.bridge.text, answer.answer]
    assert answer.usage.passes == 3
    assert set(answer.timings_ms) == {"direct", "hop1", "hop2", "total"}
    assert 0 < answer.confidence <= 1


def test_strategies_rank_as_they_should(asked: Asked) -> None:
    async def go(corrector: Corrector) -> dict[str, float]:
        texts = [q.ask() for q in QUESTIONS]
        return {s: accuracy(await corrector.answer_all(texts, s), QUESTIONS) for s in STRATEGIES}

    right = asked(go)
    assert right["direct"] <= 0.2
    assert right["two_step"] >= 0.9
    assert right["deployed"] >= 0.9
    assert right["direct"] < right["patched"] < right["deployed"]


def test_only_patched_passes_are_called_corrected(asked: Asked) -> None:
    async def go(corrector: Corrector) -> dict[str, list[Answer]]:
        return {s: await corrector.answer_all([q.ask() for q in QUESTIONS[:8]], s) for s in STRATEGIES}

    for strategy, answers in asked(go).items():
        for answer in answers:
            assert answer.corrected == (answer.patch is not None)
            assert answer.corrected == (strategy in PATCHING and answer.fallback is None)


def test_an_answer_is_the_same_alone_and_among_others(asked: Asked) -> None:
    questions = [q.ask(withhold_hops=number % 2 == 0) for number, q in enumerate(QUESTIONS[:48])]
    together = asked(lambda c: c.answer_all(questions))
    for question, answer in list(zip(questions, together, strict=True))[::6]:
        alone = asked(lambda c, q=question: c.answer(q))
        assert (alone.answer, alone.bridge.text) == (answer.answer, answer.bridge.text)


def test_a_one_hop_question_falls_back_to_direct(asked: Asked) -> None:
    answer = asked(lambda c: c.answer(Question("What is the capital of France?")))
    assert (answer.answer, answer.strategy, answer.corrected) == ("Paris", "direct", False)
    assert answer.fallback.reason == "no two hops can be read from the question"
    assert (answer.fallback.engine, answer.fallback.strategy) == ("hf", "direct")


@pytest.mark.parametrize("strategy", ["patched", "hard_token", "deployed"])
def test_a_hop_that_gives_no_bridge_claims_no_patch_that_did_not_happen(asked: Asked, strategy: str) -> None:
    """Hop 1 already holds its answer, so the model stops at once."""
    told = Question.from_fields(None, "The country where Kruger National Park is located is South Africa", "{} is in")
    patched = 0

    async def go(corrector: Corrector) -> Answer:
        run = corrector.engine.run

        async def counting(request: Pass) -> PassResult:
            nonlocal patched
            result = await run(request)
            patched += result.patched
            return result

        corrector.engine.run = counting  # type: ignore[method-assign]
        return await corrector.answer(told, strategy)

    answer = asked(go)
    assert answer.bridge.text == ""
    assert answer.corrected == (patched > 0)
    if strategy == "deployed":
        assert answer.fallback.reason == "hop 1 gave no bridge"


def test_a_failed_question_spoils_no_other(asked: Asked) -> None:
    long = Question("What is the capital of the country where " + "very " * 400 + "Big Ben is located?")
    answers = asked(lambda c: c.answer_all([QUESTIONS[0].ask(), long, QUESTIONS[1].ask()]))
    assert isinstance(answers[1], PromptTooLong)
    assert all(isinstance(answers[i], Answer) for i in (0, 2))


def test_without_a_profile_text_answers(demo: LoadedModel) -> None:
    answer = Asked(demo)(lambda c: c.answer(QUESTIONS[0].ask()))
    by_text = Asked(demo)(lambda c: c.answer(QUESTIONS[0].ask(), "two_step"))
    assert (answer.profile, answer.patch, answer.corrected) == (None, None, False)
    assert (answer.answer, answer.strategy) == (by_text.answer, "two_step")
    assert answer.fallback.reason == "the model has no profile, so nobody has measured whether a patch helps it"
    assert (answer.fallback.engine, answer.fallback.strategy) == ("hf", "two_step")


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"strategy": "guess"}, "unknown strategy 'guess': choose one of direct"),
        ({"choice": Choice(99, 0, "identity")}, "source layer 99 is out of range: 1 to"),
        ({"choice": Choice(1, 99, "identity")}, "target layer 99 is out of range: 0 to"),
        ({"choice": Choice(1, 0, "magic")}, "unknown mapping 'magic': choose one of"),
    ],
)
def test_what_cannot_be_asked_is_named(asked: Asked, kwargs: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        asked(lambda c: c.answer(QUESTIONS[0].ask(), **kwargs))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "the question is empty"),
        ({"question": "  "}, "the question is empty"),
        ({"hop1": "The author of Dune is"}, "hop2 is missing"),
        ({"hop2": "{} was born in"}, "hop1 is missing"),
        ({"hop1": " ", "hop2": "{} was born in"}, "hop1 is empty"),
        ({"hop1": "The author of Dune is", "hop2": "was born in"}, "hop2 has 0 blanks"),
        ({"hop1": "The author of Dune is", "hop2": "{} knew {}"}, "hop2 has 2 blanks"),
    ],
)
def test_a_question_without_its_parts_is_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Question.from_fields(**fields)


def test_two_hops_can_be_asked_of_the_model() -> None:
    """The few-shot fallback, on scripted replies: the demo model is too small to follow examples."""
    from correction.decomposition import ask_model

    async def scripted(reply: str) -> object:
        async def complete(prompt: str, max_tokens: int) -> str:
            assert prompt.endswith("Question: Where did the inventor of Zyx study?\nHops:")
            return reply

        return await ask_model("Where did the inventor of Zyx study?", complete)

    hops = asyncio.run(scripted(" The inventor of Zyx is | {} studied at"))
    assert (hops.hop1, hops.hop2) == ("The inventor of Zyx is", "{} studied at")
    for bad in ("one hop", "", "The inventor of Zyx is | studied", "The composer of Fidelio is | {} studied at"):
        assert asyncio.run(scripted(bad)) is None
