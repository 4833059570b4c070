"""The native API's fields are those of the design, section 7, and of the corrector."""

from __future__ import annotations

import dataclasses
import math
from typing import get_args

import pytest

from correction import answers, corrector, profile
from correction.errors import HopfixError, InvalidInput
from correction.inspector import Outcome
from correction.patchscope import Patchscope
from service import schemas
from service.errors import InvalidFields
from service.schemas import AnswerObject, AnswerRequest, OutcomeObject


def test_strategies_are_the_correctors() -> None:
    assert get_args(schemas.Strategy) == corrector.STRATEGIES


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        (schemas.AnswerObject, answers.Answer),
        (schemas.Bridge, answers.Bridge),
        (schemas.Hop, answers.HopResult),
        (schemas.Patch, profile.Choice),
        (schemas.Fallback, answers.Fallback),
        (schemas.Usage, answers.Usage),
    ],
)
def test_fields_are_the_correctors(schema: type[schemas.Response], source: type) -> None:
    # `signs` and `candidates` are what the confidence was calculated from: evaluation reads them, clients do not.
    unseen = {"signs", "candidates"}
    assert set(schema.model_fields) == {field.name for field in dataclasses.fields(source)} - unseen


def test_an_answer_object_has_the_contracts_fields() -> None:
    names = "id answer strategy corrected direct_answer bridge hops patch profile confidence fallback usage timings_ms"
    assert " ".join(AnswerObject.model_fields) == names


def test_a_request_becomes_a_question() -> None:
    question = AnswerRequest.parse(
        {"id": "q", "hop1": "A is", "hop2": "B of {} is", "direct": "B of A is"}
    ).to_question()
    assert (question.id, question.hops.hop1, question.hops.hop2) == ("q", "A is", "B of {} is")  # type: ignore[union-attr]
    assert question.direct_text == "B of A is"


@pytest.mark.parametrize(
    ("request_", "param", "says"),
    [
        ({"questoin": "?"}, "questoin", "the fields are question, hop1"),
        ({"question": 1}, "question", "string"),
        ({"question": "?", "source_layer": "3"}, "source_layer", "integer"),
        ({"question": "?", "with_direct": "yes"}, "with_direct", "boolean"),
        ({"question": "?", "strategy": "guess"}, "strategy", "'two_step'"),
        ({"question": "x" * 9000}, "question", "8192"),
        ({"question": "\ud800"}, "question", "Unicode"),
        ("?", None, "not an object"),
        (None, None, "not an object"),
    ],
)
def test_what_is_wrong_is_named(request_: object, param: str | None, says: str) -> None:
    with pytest.raises(InvalidFields, match=says) as caught:
        AnswerRequest.parse(request_)
    assert caught.value.param == param


def test_numbers_that_are_none_are_no_answer() -> None:
    answer = answers.Answer("x", "direct", confidence=math.nan)
    with pytest.raises(HopfixError, match="not finite"):
        AnswerObject.of(answer)


def test_a_patched_pass_with_numbers_that_are_none_is_refused() -> None:
    fields = {"source": {"prompt": "a", "layer": 1}, "target": {"prompt": "b", "layer": 0}}
    outcome = Outcome(Patchscope.parse(fields), "x", (1,), (math.nan,), ())
    with pytest.raises(InvalidInput, match="not finite"):
        OutcomeObject.of(outcome)
