"""Chooses a profile for a model from calibration questions: sites, mapping, thresholds. It sees no test question.

Every candidate runs on every calibration question once; cross-validation over bridges then says what a choice made
this way is worth on bridges it was not made on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from correction.answers import Answer
from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.profile import Choice, Profile, Replay
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.sweep import identity_grid, sweep

FOLDS = 5
MIN_QUESTIONS = 50
REPLAYED = 20
LOST_SHARE = 0.01  # of the right answers that the probability threshold may send to the fallback


async def calibrate(
    corrector: Corrector, questions: Sequence[GoldQuestion], on_done: Callable[[str], None] = lambda what: None
) -> Profile:
    """A profile for the corrector's model. Raises `InvalidInput` for fewer than 50 questions."""
    if len(questions) < MIN_QUESTIONS:
        raise InvalidInput(
            f"{len(questions)} questions are too few to choose from",
            hint=f"give at least {MIN_QUESTIONS}",
            param="questions",
        )
    depth = corrector.loaded.parts.depth
    direct = await _right(corrector, questions, "direct")
    two_step = await _right(corrector, questions, "two_step")
    on_done("text strategies")

    grid = await sweep(corrector, questions, identity_grid(depth))
    cells = {choice: _score(texts, questions) for choice, texts in grid.items()}
    patched = max(cells, key=lambda choice: (sum(cells[choice]), -choice.source_layer, -choice.target_layer))
    on_done("identity grid")

    candidates: dict[Choice, list[Answer | None]] = {}
    for mapping in ("vocabulary", "hard_token"):
        for layer in range(1, depth + 1):
            choice = Choice(layer, 0, mapping)
            candidates[choice] = await _answers(corrector, questions, choice)
    right = {
        choice: [a is not None and exact_match(a.answer, q.accepted) for a, q in zip(answers, questions, strict=True)]
        for choice, answers in candidates.items()
    }
    soft = {choice: scores for choice, scores in right.items() if choice.mapping == "vocabulary"}
    choice = _best(soft)
    on_done("vocabulary mapping")

    deployed, answers = right[choice], candidates[choice]
    probabilities = [a.bridge.probability for a, r in zip(answers, deployed, strict=True) if a and a.bridge and r]
    tokens = [
        len(corrector.loaded.tokenizer.tokenize(f" {q.bridge}")) for q, r in zip(questions, deployed, strict=True) if r
    ]
    return Profile(
        model=corrector.loaded.name,
        fingerprint=corrector.loaded.fingerprint,
        choice=choice,
        patched=patched,
        min_bridge_probability=_threshold(probabilities),
        max_bridge_tokens=max(tokens, default=1),
        placeholder=corrector.prompts.placeholder,
        evidence=_evidence(questions, direct, two_step, cells, right, choice, patched, soft),
        replay=_replay(questions, answers, deployed),
    )


def verdict(profile: Profile) -> str:
    """One line: deploy, or use two_step, with the expected gain and breakage."""
    evidence = profile.evidence
    direct, deployed, two_step = (evidence[key] for key in ("direct", "cross_validated", "two_step"))
    advice = "deploy" if deployed >= two_step - 0.01 and deployed > direct else "use two_step"
    return (
        f"{advice}: {direct:.1%} -> {deployed:.1%} expected on unseen bridges (two_step {two_step:.1%}), "
        f"{evidence['broken']} of {evidence['direct_right']} right answers broken, two passes a question as in two_step"
    )


async def _right(corrector: Corrector, questions: Sequence[GoldQuestion], strategy: str) -> list[bool]:
    answers = await corrector.answer_all([q.ask() for q in questions], strategy)
    return [
        isinstance(answer, Answer) and exact_match(answer.answer, q.accepted)
        for answer, q in zip(answers, questions, strict=True)
    ]


async def _answers(corrector: Corrector, questions: Sequence[GoldQuestion], choice: Choice) -> list[Answer | None]:
    answers = await corrector.answer_all([q.ask() for q in questions], "deployed", choice=choice)
    return [answer if isinstance(answer, Answer) else None for answer in answers]


def _score(texts: Sequence[str], questions: Sequence[GoldQuestion]) -> list[bool]:
    return [exact_match(text, q.accepted) for text, q in zip(texts, questions, strict=True)]


def _best(scores: dict[Choice, list[bool]]) -> Choice:
    """Most right answers; of equals the last source layer, whose states the head was made to read."""
    return max(scores, key=lambda choice: (sum(scores[choice]), choice.source_layer))


def _threshold(probabilities: Sequence[float]) -> float:
    """As high as possible while at most 1 % of the right answers fall below it, and never above one half."""
    return min(0.5, float(np.quantile(probabilities, LOST_SHARE))) if probabilities else 0.0


def _cross_validated(scores: dict[Choice, list[bool]], questions: Sequence[GoldQuestion]) -> float:
    """Accuracy when each fold's choice is made on the other folds' bridges."""
    bridges = sorted({q.bridge for q in questions})
    random.Random("folds").shuffle(bridges)
    fold = {bridge: number % FOLDS for number, bridge in enumerate(bridges)}
    right = 0
    for number in range(FOLDS):
        inside = [index for index, q in enumerate(questions) if fold[q.bridge] != number]
        best = _best({choice: [values[index] for index in inside] for choice, values in scores.items()})
        right += sum(scores[best][index] for index, q in enumerate(questions) if fold[q.bridge] == number)
    return right / len(questions)


def _evidence(
    questions: Sequence[GoldQuestion],
    direct: list[bool],
    two_step: list[bool],
    cells: dict[Choice, list[bool]],
    right: dict[Choice, list[bool]],
    choice: Choice,
    patched: Choice,
    soft: dict[Choice, list[bool]],
) -> dict[str, Any]:
    count = len(questions)
    return {
        "questions": count,
        "bridges": len({q.bridge for q in questions}),
        "direct": sum(direct) / count,
        "two_step": sum(two_step) / count,
        "patched": sum(cells[patched]) / count,
        "deployed": sum(right[choice]) / count,
        "cross_validated": _cross_validated(soft, questions),
        "direct_right": sum(direct),
        "broken": sum(d and not r for d, r in zip(direct, right[choice], strict=True)),
        "identity_grid": {f"{c.source_layer}->{c.target_layer}": sum(v) / count for c, v in cells.items()},
        "vocabulary": {str(c.source_layer): sum(v) / count for c, v in right.items() if c.mapping == "vocabulary"},
        "hard_token": {str(c.source_layer): sum(v) / count for c, v in right.items() if c.mapping == "hard_token"},
    }


def _replay(
    questions: Sequence[GoldQuestion], answers: Sequence[Answer | None], right: Sequence[bool]
) -> tuple[Replay, ...]:
    good = [(q, a) for q, a, r in zip(questions, answers, right, strict=True) if r and a is not None and a.corrected]
    step = max(1, len(good) // REPLAYED)
    return tuple(Replay(q.question, q.hop1, q.hop2, a.answer) for q, a in good[::step][:REPLAYED])
