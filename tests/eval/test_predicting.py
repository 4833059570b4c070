"""What a chunk is asked, on the demo model: oracles, controls, wordings, and which questions of a set count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from correction.corrector import Corrector
from correction.errors import InvalidInput
from eval.columns import Columns
from eval.demo_world.questions import demo_questions
from eval.demo_world.suite import demo_suite
from eval.predicting import ALL, CONTROLS, Predictor, Record
from eval.questions import GoldQuestion
from eval.scorers import SCORERS
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 48)


def predicted(
    asked: Asked,
    questions: list[GoldQuestion],
    name: str = "test",
    strategies: tuple[str, ...] = (*ALL, CONTROLS),
    scorer: str = "squad",
) -> list[Record]:
    async def go(corrector: Corrector) -> list[Record]:
        records, seconds = await Predictor(corrector, SCORERS[scorer], strategies).predict(name, questions)
        assert set(seconds) == {s for record in records for s in record["strategies"]}
        return records

    return asked(go)


@pytest.fixture(scope="module")
def records(asked: Asked) -> list[Record]:
    return predicted(asked, QUESTIONS)


def test_an_oracle_is_at_least_as_good_as_what_it_chooses_among(records: list[Record]) -> None:
    for record in records:
        said = record["strategies"]
        assert tuple(said) == ALL
        assert said["identity_oracle"]["right"] == ("1" in record["cells"])
        assert said["oracle"]["right"] >= max(said[name]["right"] for name in ALL)
    columns = Columns.of(records)
    assert columns.column("identity_oracle").right.sum() >= columns.column("patched").right.sum()


def test_a_prediction_says_the_same_whatever_its_batch(asked: Asked, records: list[Record]) -> None:
    again = predicted(asked, QUESTIONS[:5])
    assert [r["strategies"] for r in again] == [r["strategies"] for r in records[:5]]
    assert all("timings_ms" not in record["deployed"] for record in records)


def test_direct_is_always_asked_and_nothing_that_was_not_wanted(asked: Asked) -> None:
    (record,) = predicted(asked, QUESTIONS[:1], strategies=("two_step",))
    assert tuple(record["strategies"]) == ("direct", "two_step")
    assert "deployed" not in record
    with pytest.raises(InvalidInput, match="unknown strategy 'guess'"):
        Predictor(None, strategies=("guess",))  # type: ignore[arg-type]


def test_any_wording_counts(asked: Asked) -> None:
    """A wording that the model cannot answer before one that it can."""
    question = replace(
        QUESTIONS[0],
        question="What?",
        direct=None,
        paraphrases=(f"{QUESTIONS[0].hop2}".replace("{}", QUESTIONS[0].bridge),),
    )
    (record,) = predicted(asked, [question], strategies=("direct",))
    assert record["strategies"]["direct"]["right"]
    assert len(record["strategies"]["direct"]["texts"]) == 2


def test_questions_without_hops_are_read_and_have_nothing_to_patch(asked: Asked) -> None:
    bare = [replace(q, hop1="", hop2="") for q in QUESTIONS[:6]]
    for record in predicted(asked, bare):
        assert "cells" not in record
        assert not record["known"]
        assert record["strategies"]["identity_oracle"]["right"] == record["strategies"]["direct"]["right"]


def test_longer_chains_are_not_patched_by_the_grid(asked: Asked) -> None:
    for record in predicted(asked, demo_suite()["chains"][:4]):
        assert "cells" not in record


def test_the_keep_set_is_what_direct_has_right(asked: Asked) -> None:
    kept = predicted(asked, demo_questions("train", 12), "keep", ("direct", "deployed"))
    assert kept
    assert all(record["strategies"]["direct"]["right"] for record in kept)


def test_the_uncertain_set_is_chosen_by_the_bridge(asked: Asked) -> None:
    candidates = demo_suite()["uncertain"][:64]
    chosen = predicted(asked, candidates, "uncertain", ("two_step", "deployed"))
    assert 0 < len(chosen) < len(candidates)


def test_a_failed_question_is_wrong_and_says_why(asked: Asked) -> None:
    long = replace(QUESTIONS[0], question="word " * 400, direct=None, hop1="word " * 400, hop2="{} is")
    (record,) = predicted(asked, [long], strategies=("direct", "deployed"))
    assert record["strategies"]["direct"] == {
        "text": "", "right": False, "f1": 0.0, "error": record["strategies"]["direct"]["error"]
    }  # fmt: skip
    assert "error" in record["deployed"]
