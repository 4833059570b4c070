"""The sweep's cells are what the corrector answers, one choice at a time, and screening loses none that is right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

import pytest

from correction.corrector import Corrector
from correction.forms import Forms
from correction.profile import Choice
from eval.demo_world.questions import demo_questions
from eval.questions import GoldQuestion
from eval.scorers import SCORERS
from eval.sweep import Texts, as_answer, back_sweep, identity_grid, oracle_grid, sweep, swept_layers
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 64)
ENDS = pytest.mark.parametrize("ends", ["line", "phrase"])
Ends = Literal["line", "phrase"]


def ending(corrector: Corrector, ends: Ends) -> Corrector:
    """The corrector whose answers end there."""
    return corrector.using(replace(corrector.used, forms=Forms(ends=ends)))


@ENDS
def test_a_cell_of_the_sweep_is_what_the_corrector_answers(asked: Asked, ends: Ends) -> None:
    """`patched` patches one state at one placeholder, as the sweep does."""
    choice = Choice(3, 1, "identity")

    async def go(corrector: Corrector) -> tuple[list[str], list[str]]:
        corrector = ending(corrector, ends)
        grid = await sweep(corrector, QUESTIONS, [Choice(1, 0, "identity"), choice])
        answers = await corrector.answer_all([q.ask() for q in QUESTIONS], "patched", choice=choice)
        return grid[choice], [answer.answer for answer in answers]

    swept, answered = asked(go)
    assert swept == answered


@ENDS
def test_a_cell_of_the_back_sweep_is_what_the_corrector_answers(asked: Asked, ends: Ends) -> None:
    async def go(corrector: Corrector) -> tuple[list[str], list[str]]:
        corrector = ending(corrector, ends)
        grid = await back_sweep(corrector, QUESTIONS[:16])
        answers = await corrector.answer_all([q.ask() for q in QUESTIONS[:16]], "back_patched")
        return grid[corrector.used.back_patched], [answer.answer for answer in answers]

    swept, answered = asked(go)
    assert swept == answered


@pytest.mark.parametrize(
    ("said", "line", "phrase"),
    [
        ("Paris, the capital of France.", "Paris, the capital of France", "Paris"),
        ("euro (EUR)", "euro (EUR)", "euro"),
        ("rand.", "rand", "rand"),
        ("", "", ""),
    ],
)
def test_an_answer_ends_where_the_profile_says(asked: Asked, said: str, line: str, phrase: str) -> None:
    async def go(corrector: Corrector) -> tuple[str, str]:
        tokens = corrector.loaded.tokenizer(said, add_special_tokens=False)["input_ids"]
        one, other = (as_answer(ending(corrector, ends), [*tokens, -1]) for ends in ("line", "phrase"))
        return one, other

    assert asked(go) == (line, phrase)


def marks(texts: Texts, questions: list[GoldQuestion], scorer: str) -> dict[Choice, list[bool]]:
    return {
        choice: [SCORERS[scorer].score([text], q).right for text, q in zip(said, questions, strict=True)]
        for choice, said in texts.items()
    }


GRIDS: dict[str, Callable[[Corrector, list[GoldQuestion], bool], Awaitable[Texts]]] = {
    **{
        mapping: lambda corrector, questions, screened, mapping=mapping: sweep(  # type: ignore[misc]
            corrector, questions, identity_grid(6, mapping), screened=screened
        )
        for mapping in ("identity", "norm_matched", "vocabulary")
    },
    "back-patching": lambda corrector, questions, screened: back_sweep(corrector, questions, screened=screened),
}


@ENDS
@pytest.mark.parametrize("grid", GRIDS)
def test_screening_loses_no_right_cell(asked: Asked, grid: str, ends: Ends) -> None:
    """Against the full decode of every cell, by every rule; and with gold that many cells do say."""
    questions = QUESTIONS[:24]

    async def full(corrector: Corrector) -> Texts:
        return await GRIDS[grid](ending(corrector, ends), questions, False)

    whole = asked(full)
    likely = [max(texts, key=texts.count) for texts in zip(*whole.values(), strict=True)]
    said = [replace(q, answer=text, answer_aliases=()) for q, text in zip(questions, likely, strict=True)]
    for asking in (questions, said):

        async def screen(corrector: Corrector, asking: list[GoldQuestion] = asking) -> Texts:
            return await GRIDS[grid](ending(corrector, ends), asking, True)

        screened = asked(screen)
        for scorer in (name for name, scorer in SCORERS.items() if not scorer.anywhere):
            found = marks(screened, asking, scorer)
            assert found == marks(whole, asking, scorer)
        assert any(map(any, found.values()))
        assert sum(texts.count("") for texts in screened.values()) > sum(texts.count("") for texts in whole.values())


def test_the_papers_grid_has_every_pair_once() -> None:
    assert len(set(identity_grid(6))) == 36


def test_an_oracle_tries_every_pair_of_a_model_of_up_to_12_layers() -> None:
    for depth in range(1, 13):
        assert oracle_grid(depth, "vocabulary") == identity_grid(depth, "vocabulary")


def test_of_a_deeper_model_it_tries_ten_source_and_ten_target_layers() -> None:
    assert swept_layers(30) == ((3, 6, 9, 12, 15, 18, 21, 24, 27, 30), (0, 3, 6, 9, 12, 15, 18, 21, 24, 27))
    for depth in range(13, 130):
        sources, targets = swept_layers(depth)
        assert len(set(sources)) == len(set(targets)) == 10
        assert (targets[0], sources[-1], sources[:-1]) == (0, depth, targets[1:])
        steps = [high - low for low, high in zip(targets, sources, strict=True)]
        assert max(steps) - min(steps) <= 1, "evenly spaced"


def test_a_back_sweep_of_some_layers_is_that_part_of_the_whole(asked: Asked) -> None:
    async def go(corrector: Corrector) -> tuple[Texts, Texts]:
        some = await back_sweep(corrector, QUESTIONS[:8], ((2, 5), (0, 3)))
        return some, await back_sweep(corrector, QUESTIONS[:8])

    some, whole = asked(go)
    assert [(c.source_layer, c.target_layer) for c in some] == [(2, 0), (5, 0), (5, 3)]
    assert some == {choice: whole[choice] for choice in some}


def test_no_question_has_no_cells(asked: Asked) -> None:
    assert asked(lambda corrector: sweep(corrector, [], identity_grid(2))) == {c: [] for c in identity_grid(2)}
    assert set(map(len, asked(lambda corrector: back_sweep(corrector, [])).values())) == {0}
