"""What a profile deploys on the bundled model: early exit, weighed bridges, chains, fallbacks, plain answers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from correction.answers import Answer
from correction.confidence import Confidence, Weights
from correction.corrector import Corrector
from correction.forms import Forms
from correction.models import LoadedModel
from correction.passes import Pass, PassResult
from correction.profile import Choice, Profile, Thresholds
from correction.prompts import Prompts
from correction.questions import Question
from eval.demo_world.questions import demo_questions
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 48)
WALKMAN = Question("Who runs the company that makes the Walkman?")
KRUGER = Question.from_fields(None, "The country where Kruger National Park is located is", "The currency of {} is")
# A wording that was never trained: the model hesitates between countries.
UNSURE = Question.from_fields(None, "The nation of Kruger National Park is", "The currency of {} is")


@pytest.fixture
def early(demo_profile: Profile) -> Profile:
    """Leaves hop 1 at layer 3, whatever it reads there; never weighs, never keeps."""
    return replace(demo_profile, choice=Choice(3, 0, "vocabulary"), answer_layer=None, thresholds=Thresholds())


def answer(demo: LoadedModel, profile: Profile, question: Question) -> Answer:
    return Asked(demo, profile)(lambda c: c.answer(question))


def passes_of(demo: LoadedModel, profile: Profile, question: Question) -> list[Pass]:
    """The passes that a question takes."""
    seen: list[Pass] = []

    async def go(corrector: Corrector) -> Answer:
        run = corrector.engine.run

        async def noting(request: Pass) -> PassResult:
            seen.append(request)
            return await run(request)

        corrector.engine.run = noting  # type: ignore[method-assign]
        return await corrector.answer(question)

    Asked(demo, profile)(go)
    return seen


def test_hop_1_is_left_early_and_costs_less(demo: LoadedModel, early: Profile) -> None:
    given = answer(demo, early, KRUGER)
    assert (given.answer, given.bridge.text, given.patch) == ("rand", "South Africa", Choice(3, 0, "vocabulary"))
    assert [request.exit for request in passes_of(demo, early, KRUGER)] == [3, None]
    late = answer(demo, replace(early, choice=Choice(6, 0, "vocabulary")), KRUGER)
    assert given.usage.layer_tokens < 0.8 * late.usage.layer_tokens
    assert given.usage.passes == late.usage.passes == 2


def test_a_bridge_read_early_with_doubt_is_read_again_in_full(demo: LoadedModel, early: Profile) -> None:
    doubting = replace(early, thresholds=Thresholds(exit=1.1))
    assert [request.exit for request in passes_of(demo, doubting, KRUGER)] == [3, None, None]
    given = answer(demo, doubting, KRUGER)
    assert given.patch == Choice(6, 0, "vocabulary"), "what was patched came from the last layer"
    assert given.answer == "rand"


def test_the_last_hop_is_left_early_too(demo: LoadedModel, early: Profile) -> None:
    short = replace(early, answer_layer=3)
    assert [request.exit for request in passes_of(demo, short, KRUGER)] == [3, 3]
    assert answer(demo, short, KRUGER).answer == "rand"
    doubting = replace(short, thresholds=Thresholds(answer=1.1))
    assert [request.exit for request in passes_of(demo, doubting, KRUGER)] == [3, 3, None]


def test_an_unsure_bridge_is_weighed_against_others(demo: LoadedModel, early: Profile) -> None:
    weighing = replace(early, choice=Choice(6, 0, "vocabulary"), thresholds=Thresholds(sure=0.99, bridges=4))
    given = answer(demo, weighing, UNSURE)
    names = [bridge["text"] for bridge in given.bridge.alternatives]
    assert len(names) == len(set(names)) == 4
    assert sum(float(bridge["probability"]) for bridge in given.bridge.alternatives) <= 1
    assert given.bridge.text in names
    assert given.corrected
    assert given.patch == Choice(6, 0, "hard_token")
    alone = answer(demo, replace(weighing, thresholds=Thresholds()), UNSURE)
    assert alone.patch == Choice(6, 0, "vocabulary")
    assert {b["text"] for b in given.bridge.alternatives} > {alone.bridge.text}


def test_weighing_sums_over_the_bridges_behind_an_answer(demo: LoadedModel, early: Profile) -> None:
    """P(answer) = sum over b of P(b) P(answer | b), recomputed here bridge by bridge with text."""
    weighing = replace(early, choice=Choice(6, 0, "vocabulary"), thresholds=Thresholds(sure=1.1, bridges=5))
    continent = Question.from_fields(None, "The nation of Kruger National Park is", "The continent of {} is")
    given = answer(demo, weighing, continent)

    async def by_text(corrector: Corrector) -> dict[str, float]:
        mass: dict[str, float] = {}
        for bridge in given.bridge.alternatives:
            request = Pass(corrector.prompts.encode(f"The continent of {bridge['text']} is"))
            result = await corrector.engine.run(request)
            mass[result.text] = mass.get(result.text, 0.0) + float(bridge["probability"]) * result.probability
        return mass

    mass = Asked(demo, early)(by_text)
    assert given.answer == max(mass, key=lambda text: mass[text])
    assert given.signs.product == pytest.approx(mass[given.answer], rel=1e-3)


def test_a_chain_of_three_and_four_hops(demo: LoadedModel, early: Profile) -> None:
    profile = replace(early, choice=Choice(5, 0, "vocabulary"))
    three = answer(
        demo, profile, Question("What is the capital of the country where the author of War and Peace was born?")
    )
    assert [hop.text for hop in three.hops] == ["Leo Tolstoy", "Russia", "Moscow"]
    assert three.corrected
    four = Question.from_fields(
        hop1="The author of War and Peace is",
        hop2="The birthplace of {} is",
        hop3="The country where {} is located is",
        hop4="The currency of {} is",
    )
    given = answer(demo, profile, four)
    assert len(given.hops) == 4
    assert given.hops[2].text == "Russia"
    assert given.answer == "ruble"
    assert given.usage.passes == 4


def test_a_chain_by_text_and_by_patch_agree(demo: LoadedModel, early: Profile) -> None:
    four = Question.from_fields(
        hop1="The director of Jaws is",
        hop2="The birthplace of {} is",
        hop3="The country where {} is located is",
        hop4="The capital of {} is",
    )

    async def go(corrector: Corrector) -> list[str]:
        return [(await corrector.answer(four, strategy)).answer for strategy in ("two_step", "hard_token", "deployed")]

    texts = Asked(demo, replace(early, choice=Choice(6, 0, "vocabulary")))(go)
    assert len(set(texts)) == 1


def test_a_longer_bridge_than_calibrated_falls_back_to_text(demo: LoadedModel, early: Profile) -> None:
    given = answer(demo, replace(early, thresholds=Thresholds(bridge_tokens=0)), KRUGER)
    assert (given.strategy, given.corrected, given.answer) == ("two_step", False, "rand")
    assert given.fallback.reason == "the bridge has 1 tokens, calibrated were at most 0"


def test_a_profile_may_say_that_text_is_better(demo: LoadedModel, early: Profile) -> None:
    given = answer(demo, replace(early, strategy="two_step"), KRUGER)
    assert (given.strategy, given.corrected, given.answer) == ("two_step", False, "rand")
    assert given.fallback.reason == "calibration found two_step no worse"


def test_the_more_confident_of_two_answers_is_returned(demo: LoadedModel, early: Profile) -> None:
    """Below `select` the plain answer is asked for; weights make it the surer one here, and then the less sure one."""
    lower, low = Weights(-4.0, 0, 0, 0, 0, 9), Weights(-3.0, 0, 0, 0, 0, 9)
    high = Weights(3.0, 0, 0, 0, 0, 9)
    doubting = replace(early, thresholds=Thresholds(select=0.5))
    kept = answer(demo, replace(doubting, confidence=Confidence({"exit": low, "compared": low, "kept": high})), WALKMAN)
    assert (kept.strategy, kept.corrected, kept.patch) == ("direct", False, None)
    assert kept.fallback.reason == "the plain answer is the more confident one (0.95 against 0.05)"
    assert kept.confidence == pytest.approx(0.9526, abs=1e-3)
    surer = replace(doubting, confidence=Confidence({"exit": low, "compared": low, "kept": lower}))
    patched = answer(demo, surer, WALKMAN)
    assert (patched.strategy, patched.corrected, patched.answer) == ("deployed", True, "Kenichiro Yoshida")
    assert patched.direct_answer == kept.answer != patched.answer
    narrow = replace(surer, thresholds=Thresholds(select=0.5, margin=0.1))
    assert answer(demo, narrow, WALKMAN).strategy == "direct", "it is surer, but not by the margin"
    sure = answer(demo, replace(doubting, confidence=Confidence({"exit": high})), WALKMAN)
    assert (sure.corrected, sure.direct_answer) == (True, None), "nothing is asked that is not needed"


def test_confidence_rises_with_the_probabilities_it_is_made_of(demo: LoadedModel, early: Profile) -> None:
    weights = Weights(0.0, 1, 1, 1, 1, 9)
    profile = replace(early, confidence=Confidence({"exit": weights}))
    answers = Asked(demo, profile)(lambda c: c.answer_all([q.ask() for q in QUESTIONS]))
    patched = sorted((a for a in answers if a.corrected), key=lambda a: sum(a.signs.log_odds))
    confidences = [a.confidence for a in patched]
    assert confidences == sorted(confidences)
    assert 0 < confidences[0] < confidences[-1] <= 1


def test_a_chat_model_is_corrected_through_its_template(demo: LoadedModel, early: Profile) -> None:
    """The demo's weights with a template that drops the question, so that they see the begun answer alone."""
    tokenizer = copy.deepcopy(demo.tokenizer)
    tokenizer.chat_template = "{{ bos_token }}"
    chat = replace(demo, tokenizer=tokenizer)
    early = replace(early, forms=Forms("chat_begun", "chat_begun", "chat_begun"))
    assert Prompts(tokenizer, early.forms).form(KRUGER.hops.hop1, "hop1") == f"{tokenizer.bos_token}{KRUGER.hops.hop1}"
    for strategy in ("two_step", "hard_token", "deployed"):
        given = Asked(chat, early)(lambda c, s=strategy: c.answer(KRUGER, s))
        assert (given.answer, given.bridge.text) == ("rand", "South Africa")


def test_a_pass_that_ends_with_its_phrase_says_the_same(demo: LoadedModel, early: Profile) -> None:
    """The demo model goes on after a name where it is not stopped; the answer is cut there either way."""
    named = replace(early, forms=Forms("examples", "examples", "examples", "examples", "phrase"))

    async def go(corrector: Corrector) -> list[tuple[object, ...]]:
        answers = []
        for strategy in ("direct", "two_step", "hard_token"):
            given = await corrector.answer(KRUGER, strategy)
            answers.append((given.answer, given.bridge, given.confidence, given.usage.completion_tokens))
        return answers

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("correction.engines.hf.phrase_is_over", lambda text: False)
        later = Asked(demo, named)(go)
    for soon, late in zip(Asked(demo, named)(go), later, strict=True):
        assert soon[0] == late[0]
        assert soon[1] == late[1]
        assert soon[2] == pytest.approx(late[2], rel=1e-4)
        assert soon[3] <= late[3]
