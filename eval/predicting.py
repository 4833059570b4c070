"""What a chunk of questions is asked, by the set it is from, and what is noted of each: a line of the predictions.

It reads gold to score what was said, and for the oracles; nothing here chooses an answer by it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from correction.answers import Answer
from correction.corrector import Corrector
from correction.errors import HopfixError, InvalidInput
from correction.strategies import STRATEGIES
from eval.answerer import Answerer
from eval.controls import known_hops, shortcuts
from eval.questions import GoldQuestion
from eval.scorers import SCORERS, Score, Scorer
from eval.sweep import Texts, back_sweep, oracle_grid, sweep, swept_layers

IDENTITY_ORACLE, ORACLE = "identity_oracle", "oracle"
CONTROLS = "controls"  # the paper's filter and the shortcuts
ALL = (*STRATEGIES, IDENTITY_ORACLE, ORACLE)
FEW = ("direct", "two_step", "hard_token", "deployed")  # of the sets where the others have nothing to say
UNCERTAIN = 0.8  # a likeliest bridge with less makes a question uncertain
WARM_UP = 8  # questions whose time is not taken

Record = dict[str, Any]
Answered = list[Answer | HopfixError]  # of one question, an answer a wording


@dataclass
class Predictor:
    """Asks questions by every one of `strategies`, the oracles and the controls among them, and scores by `scorer`."""

    answerer: Answerer
    scorer: Scorer = SCORERS["squad"]
    strategies: tuple[str, ...] = (*ALL, CONTROLS)
    withhold_hops: bool = False

    def __post_init__(self) -> None:
        if unknown := [name for name in self.strategies if name not in (*ALL, CONTROLS)]:
            hint = f"choose among {', '.join((*ALL, CONTROLS))}"
            raise InvalidInput(f"unknown strategy {unknown[0]!r}", hint=hint, param="strategies")
        # Whatever is fixed or broken is so beside direct.
        self.strategies = tuple(name for name in (*ALL, CONTROLS) if name in {"direct", *self.strategies})
        self._warm = False

    async def predict(self, name: str, questions: Sequence[GoldQuestion]) -> tuple[list[Record], dict[str, float]]:
        """A record of each question of the chunk that counts in the set `name`, and the seconds of each strategy."""
        if not self._warm:
            await self._ask(questions[:WARM_UP], "direct")
            self._warm = True
        asked = await self._counting(name, questions)
        records: list[Record] = [_gold(name, question) for question in asked]
        seconds: dict[str, float] = {}
        for strategy in self._strategies(name):
            started = time.perf_counter()
            given = await self._ask(asked, strategy)
            seconds[strategy] = time.perf_counter() - started
            for record, question, answers in zip(records, asked, given, strict=True):
                record["strategies"][strategy] = self._said(question, answers)
                if strategy == "deployed":
                    record["deployed"] = _evidence(answers[0])
        if name == "test":
            if CONTROLS in self.strategies:
                await self._controls(asked, records)
            if isinstance(self.answerer, Corrector):
                await self._oracles(self.answerer, asked, records, seconds)
        return records, seconds

    def _strategies(self, name: str) -> tuple[str, ...]:
        few = name in ("unknown", "one_hop", "chains")
        return tuple(s for s in STRATEGIES if s in self.strategies and (s in FEW or not few))

    async def _counting(self, name: str, questions: Sequence[GoldQuestion]) -> list[GoldQuestion]:
        """Of the keep set those that direct answers right; of the uncertain one those whose likeliest bridge has
        p < 0.8, read in full depth: chosen without gold."""
        if name == "keep":
            given = await self._ask(questions, "direct")
            return [q for q, answers in zip(questions, given, strict=True) if self._score(q, answers).right]
        if name == "uncertain":
            given = await self._ask(questions, "two_step")
            return [q for q, (answer, *_) in zip(questions, given, strict=True) if _unsure(answer)]
        return list(questions)

    async def _ask(self, questions: Sequence[GoldQuestion], strategy: str) -> list[Answered]:
        wordings = [wording for question in questions for wording in question.wordings()]
        answers = iter(await self.answerer.answer_all([w.ask(self.withhold_hops) for w in wordings], strategy))
        return [[next(answers) for _ in question.wordings()] for question in questions]

    def _score(self, question: GoldQuestion, answers: Answered) -> Score:
        return self.scorer.score([answer.answer for answer in answers if isinstance(answer, Answer)], question)

    def _said(self, question: GoldQuestion, answers: Answered) -> Record:
        score = self._score(question, answers)
        said: Record = {"text": _text(answers[0]), "right": score.right, "f1": round(score.f1, 6)}
        if len(answers) > 1:
            said["texts"] = [_text(answer) for answer in answers]
        if errors := [str(answer) for answer in answers if isinstance(answer, HopfixError)]:
            said["error"] = errors[0]
        return said

    async def _controls(self, questions: Sequence[GoldQuestion], records: Sequence[Record]) -> None:
        """The paper's filter and the shortcut controls, and how long the bridge is for this tokenizer."""
        known = await known_hops(self.answerer, questions, self.scorer)
        short = await shortcuts(self.answerer, questions, self.scorer)
        tokenizer = self.answerer.loaded.tokenizer if isinstance(self.answerer, Corrector) else None
        for record, question, both, shortcut in zip(records, questions, known, short, strict=True):
            length = len(tokenizer.tokenize(f" {question.bridge}")) if tokenizer and question.bridge else None
            record |= {"known": both, "shortcut": shortcut, "bridge_tokens": length}

    async def _oracles(
        self, corrector: Corrector, asked: Sequence[GoldQuestion], records: Sequence[Record], seconds: dict[str, float]
    ) -> None:
        """Right if ANY of the choices is. They read the gold answer: never deployable.

        identity_oracle: the paper's protocol, any cell of the identity grid. oracle: any strategy, any cell of the
        identity, norm-matched, vocabulary and back-patching grids. Of a deep model the cells are those of
        `swept_layers`. Where no two hops are given there is nothing to patch: then the identity oracle has what direct
        has. Cells that can no longer be right are not decoded, and questions that were answered right not asked again.
        """
        if not {IDENTITY_ORACLE, ORACLE} & set(self.strategies):
            return
        started = time.perf_counter()
        patchable = [index for index, question in enumerate(asked) if question.hop2 and not question.hop3]
        questions = [asked[index] for index in patchable]
        depth, screened = corrector.loaded.parts.depth, not self.scorer.anywhere
        layers = swept_layers(depth)
        identity = await sweep(corrector, questions, oracle_grid(depth), screened=screened)
        for index, marks in zip(patchable, self._marks(identity, questions), strict=True):
            records[index] |= {"cells": "".join("01"[right] for right in marks), "layers": [*map(list, layers)]}
        for record, question in zip(records, asked, strict=True):
            right = "1" in record["cells"] if "cells" in record else record["strategies"]["direct"]["right"]
            record["strategies"][IDENTITY_ORACLE] = _oracle(question, right)
        seconds[IDENTITY_ORACLE] = time.perf_counter() - started
        if ORACLE not in self.strategies:
            return
        found = [any(said["right"] for said in record["strategies"].values()) for record in records]
        for mapping in ("norm_matched", "vocabulary"):
            left = [index for index in patchable if not found[index]]
            questions = [asked[index] for index in left]
            cells = await sweep(corrector, questions, oracle_grid(depth, mapping), screened=screened)
            for index, marks in zip(left, self._marks(cells, questions), strict=True):
                found[index] = any(marks)
        left = [index for index, right in enumerate(found) if not right]
        questions = [asked[index] for index in left]
        cells = await back_sweep(corrector, questions, layers, screened=screened)
        for index, marks in zip(left, self._marks(cells, questions), strict=True):
            found[index] = any(marks)
        for record, question, right in zip(records, asked, found, strict=True):
            record["strategies"][ORACLE] = _oracle(question, right)
        seconds[ORACLE] = time.perf_counter() - started + sum(seconds[name] for name in self._strategies("test"))

    def _marks(self, texts: Texts, questions: Sequence[GoldQuestion]) -> list[list[bool]]:
        """Whether each cell is right, [question][cell]. Most cells of a question say the same few things."""
        marks: list[list[bool]] = []
        for index, question in enumerate(questions):
            said = [cell[index] for cell in texts.values()]
            right = {text: self.scorer.score([text], question).right for text in set(said)}
            marks.append([right[text] for text in said])
        return marks


def _gold(name: str, question: GoldQuestion) -> Record:
    return {
        "set": name,
        "id": question.id,
        "type": question.type,
        "question": question.ask().direct_text,
        "bridge": question.bridge,
        "answer": question.answer,
        "strategies": {},
    }


def _oracle(question: GoldQuestion, right: bool) -> Record:
    return {"text": question.answer if right else "", "right": right, "f1": float(right)}


def _text(answer: Answer | HopfixError) -> str:
    return answer.answer if isinstance(answer, Answer) else ""


def _unsure(answer: Answer | HopfixError) -> bool:
    return isinstance(answer, Answer) and answer.bridge is not None and answer.bridge.probability < UNCERTAIN


def _evidence(answer: Answer | HopfixError) -> Record:
    """The deployed answer as HTTP gives it, less its times: a resumed run writes what an uninterrupted one does."""
    if not isinstance(answer, Answer):
        return {"error": str(answer)}
    return {name: _rounded(value) for name, value in answer.to_dict().items() if name not in ("id", "timings_ms")}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, (list, tuple)) else value
