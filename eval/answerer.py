"""Who answers questions: a corrector, or a server elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from correction.answers import Answer
from correction.errors import HopfixError
from correction.questions import Question


class Answerer(Protocol):
    """What an evaluation needs of it."""

    async def answer_all(self, questions: Sequence[Question], strategy: str) -> list[Answer | HopfixError]:
        """Answers in the order of the questions; a failed one is its error."""
