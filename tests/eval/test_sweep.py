"""The sweep's cells are what the corrector answers, one choice at a time."""

from __future__ import annotations

from correction.corrector import Corrector
from correction.profile import Choice
from eval.demo_world.questions import demo_questions
from eval.sweep import back_sweep, identity_grid, sweep
from tests.conftest import Asked

QUESTIONS = demo_questions("calibration", 64)


def test_a_cell_of_the_sweep_is_what_the_corrector_answers(asked: Asked) -> None:
    """`patched` patches one state at one placeholder, as the sweep does."""
    choice = Choice(3, 1, "identity")

    async def go(corrector: Corrector) -> tuple[list[str], list[str]]:
        grid = await sweep(corrector, QUESTIONS, [Choice(1, 0, "identity"), choice])
        answers = await corrector.answer_all([q.ask() for q in QUESTIONS], "patched", choice=choice)
        return grid[choice], [answer.answer for answer in answers]

    swept, answered = asked(go)
    assert swept == answered


def test_a_cell_of_the_back_sweep_is_what_the_corrector_answers(asked: Asked) -> None:
    async def go(corrector: Corrector) -> tuple[list[str], list[str]]:
        grid = await back_sweep(corrector, QUESTIONS[:16])
        answers = await corrector.answer_all([q.ask() for q in QUESTIONS[:16]], "back_patched")
        return grid[corrector.used.back_patched], [answer.answer for answer in answers]

    swept, answered = asked(go)
    assert swept == answered


def test_the_papers_grid_has_every_pair_once() -> None:
    assert len(set(identity_grid(6))) == 36


def test_no_question_has_no_cells(asked: Asked) -> None:
    assert asked(lambda corrector: sweep(corrector, [], identity_grid(2))) == {c: [] for c in identity_grid(2)}
