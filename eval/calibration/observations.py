"""What every way of answering says to each calibration question: run once, then choices are made on paper.

A way is a strategy with one setting, and no threshold turns away from it; `eval.calibration.choosing` combines ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from correction.answers import Answer
from correction.confidence import Signs
from correction.corrector import Corrector
from correction.errors import HopfixError
from correction.profile import Choice, Thresholds
from correction.selection import Judged
from eval.questions import GoldQuestion
from eval.scoring import exact_match

NEVER_SURE = 1.1  # a threshold that no probability reaches


@dataclass(frozen=True)
class Said:
    """One answer: its text, whether it is right, what it showed of itself, and what it cost.

    cost: layer-tokens. tokens: of the bridge. candidates: every answer that the patched passes gave.
    """

    text: str
    right: bool
    signs: Signs
    cost: int
    tokens: int
    candidates: tuple[Candidate, ...] = ()

    @property
    def judged(self) -> Judged:
        """As it is compared with others."""
        return Judged(self.text, self.signs)


@dataclass(frozen=True)
class Candidate:
    """An answer that could have been returned, and whether it is right."""

    text: str
    right: bool
    signs: Signs

    @property
    def judged(self) -> Judged:
        """As it is compared with others."""
        return Judged(self.text, self.signs)


async def said(corrector: Corrector, questions: Sequence[GoldQuestion], strategy: str) -> list[Said]:
    """What a strategy says to each question; one that fails says nothing, and is wrong."""
    answers = await corrector.answer_all([q.ask() for q in questions], strategy)
    return [_said(corrector, answer, q) for answer, q in zip(answers, questions, strict=True)]


def exiting(corrector: Corrector, choice: Choice) -> Corrector:
    """A corrector that leaves hop 1 at the choice's layer and patches its states, whatever their probability."""
    return _with(corrector, choice, Thresholds(bridge_tokens=corrector.max_tokens))


def weighing(corrector: Corrector, count: int) -> Corrector:
    """A corrector that weighs the `count` likeliest bridges, however sure hop 1 is."""
    choice = Choice(corrector.loaded.parts.depth, 0, "vocabulary")
    thresholds = Thresholds(sure=NEVER_SURE, bridges=count, bridge_tokens=corrector.max_tokens)
    return _with(corrector, choice, thresholds)


def answering(corrector: Corrector, mapping: str, layer: int) -> Corrector:
    """A corrector that runs hop 1 in full and leaves the last hop at a layer."""
    full = exiting(corrector, Choice(corrector.loaded.parts.depth, 0, mapping))
    return corrector.using(replace(full.used, answer_layer=layer))


def _with(corrector: Corrector, choice: Choice, thresholds: Thresholds) -> Corrector:
    return corrector.using(
        replace(corrector.used, choice=choice, thresholds=thresholds, strategy="deployed", answer_layer=None)
    )


def _said(corrector: Corrector, answer: Answer | HopfixError, question: GoldQuestion) -> Said:
    if isinstance(answer, HopfixError):
        return Said("", False, Signs("direct", 0.0), 0, 0)
    signs = answer.signs or Signs("direct", answer.confidence or 0.0)
    tokens = corrector.loaded.tokenizer.tokenize(f" {answer.bridge.text}") if answer.bridge else []
    right = exact_match(answer.answer, question.accepted)
    candidates = tuple(
        Candidate(one.text, exact_match(one.text, question.accepted), one.signs) for one in answer.candidates
    )
    return Said(answer.answer, right, signs, answer.usage.layer_tokens, len(tokens), candidates)


def to_json(given: Sequence[Said]) -> list[dict[str, Any]]:
    """Plain data."""
    return [asdict(one) for one in given]


def from_json(given: Sequence[dict[str, Any]]) -> list[Said]:
    """What `to_json` gave."""
    return [
        Said(
            **{
                **one,
                "signs": Signs(**one["signs"]),
                "candidates": tuple(Candidate(c["text"], c["right"], Signs(**c["signs"])) for c in one["candidates"]),
            }
        )
        for one in given
    ]
