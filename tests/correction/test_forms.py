"""Forms: questions from statements and back, where a phrase ends, and what a profile may say."""

from __future__ import annotations

import pytest

from correction.errors import InvalidInput
from correction.forms import FORMS, Forms, Wording, as_question, as_statement, phrase, phrase_is_over


@pytest.mark.parametrize(
    ("statement", "question"),
    [
        ("The capital of {} is", "What is the capital of {}?"),
        ("The currency of Peru is the", "What is the currency of Peru?"),
        ("The author of Dune is", "Who is the author of Dune?"),
        ("The Eiffel Tower is located in the country of", "In which country is the Eiffel Tower located?"),
        ("{} was born in the city of", "In which city was {} born?"),
        ("Dune was written by", "Who was Dune written by?"),
        ("Machu Picchu is in", "Where is Machu Picchu?"),
        ("People in {} pay with the", None),
    ],
)
def test_a_statement_becomes_a_question(statement: str, question: str | None) -> None:
    assert as_question(statement) == question


@pytest.mark.parametrize(
    ("question", "statement"),
    [("What is the capital of Peru?", "The capital of Peru is"), ("Who runs Sony?", None)],
)
def test_a_question_becomes_a_statement(question: str, statement: str | None) -> None:
    assert as_statement(question) == statement


def test_a_wording_keeps_what_was_given() -> None:
    assert Wording.of("Who runs Sony?", "Sony is led by") == Wording(
        "Sony is led by", "Who runs Sony?", "Sony is led by"
    )
    assert Wording.of("What is the capital of Peru?").given == "What is the capital of Peru?"
    assert Wording.of("The capital of {} is").naming("{}", "Peru").question == "What is the capital of Peru?"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (" Paris, France.", "Paris"),
        (" Paris. The city", "Paris"),
        (" Paris is the capital", "Paris"),
        (" J. K. Rowling.\nQ:", "J. K. Rowling"),
        (" St. Petersburg.", "St. Petersburg"),
        (" Washington D.C.\n", "Washington D.C."),
        (' "Dune" by Frank Herbert', "Dune"),
        (" .za", ".za"),
        (" +27", "+27"),
        (" 1,000 people", "1,000 people"),
        (" Trinidad and Tobago.", "Trinidad and Tobago"),
        (" the rand (ZAR)", "the rand"),
        (" **Paris**.", "Paris"),
        (": Dublin.", "Dublin"),
        ("", ""),
        ("\nQ: What", ""),
    ],
)
def test_a_phrase_ends_where_the_name_does(said: str, name: str) -> None:
    assert phrase(said) == name


def test_a_target_names_the_bridge_once() -> None:
    for name in FORMS:
        assert Forms.all_of(name).of("target").mentions == 1
    with pytest.raises(InvalidInput, match="names the bridge twice"):
        Forms(target="begun").check()


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(InvalidInput, match="unknown form 'poem'"):
        Forms.from_fields({"hop1": "poem"})
    with pytest.raises(TypeError, match="unknown fields"):
        Forms.from_fields({"hop9": "plain"})


@pytest.mark.parametrize(
    ("text", "over"),
    [
        (" Paris", False),
        (" Paris,", False),  # a digit could follow
        (" Paris, F", True),
        (" Paris.", False),
        (" Paris. T", True),
        (" J.", False),
        (" J. K", False),
        (" St. Louis. I", True),
        (" Paris (", True),
        ("", False),
    ],
)
def test_a_phrase_is_over_when_nothing_can_change_it(text: str, over: bool) -> None:
    assert phrase_is_over(text) is over


def test_what_follows_an_end_changes_nothing() -> None:
    for said in (
        " Paris, France. It is",
        " J. K. Rowling. She",
        " Washington D.C. is",
        " 1,000 people, or",
        " St. Louis (Missouri)",
    ):
        for at in range(len(said)):
            if phrase_is_over(said[:at]):
                assert phrase(said[:at] + " ") == phrase(said) == phrase(said[:at] + " x")
