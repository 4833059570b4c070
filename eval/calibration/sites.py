"""Sweeps of layer pairs: the paper's identity grid, for several placeholders, and back-patching within a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.profile import Choice
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.sweep import Texts, back_sweep, oracle_grid, sweep, swept_layers

PLACEHOLDERS = ("x", "it", "the", "?")

Cells = dict[Choice, list[bool]]  # whether each question is right in each cell


async def identity_cells(corrector: Corrector, questions: Sequence[GoldQuestion], mapping: str = "identity") -> Cells:
    """The paper's grid, scored; of a deep model some of its layers (`eval.sweep.swept_layers`)."""
    choices = oracle_grid(corrector.loaded.parts.depth, mapping)
    return _scored(await sweep(corrector, questions, choices, screened=True), questions)


def holding(corrector: Corrector, placeholder: str) -> Corrector:
    """The corrector with another placeholder."""
    return corrector.using(replace(corrector.used, placeholder=placeholder))


def suitable(
    corrector: Corrector, questions: Sequence[GoldQuestion], placeholders: Sequence[str] = PLACEHOLDERS
) -> list[str]:
    """The placeholders that this tokenizer keeps as one token in every hop 2, the one in use first."""
    names = dict.fromkeys((corrector.used.placeholder, *placeholders))
    return [name for name in names if _fits(holding(corrector, name), questions)]


def _fits(corrector: Corrector, questions: Sequence[GoldQuestion]) -> bool:
    try:
        for question in questions:
            corrector.prompts.encode_blank(question.hop2)
    except InvalidInput:
        return False
    return True


async def back_cells(corrector: Corrector, questions: Sequence[GoldQuestion]) -> Cells:
    """Back-patching within the question, scored."""
    layers = swept_layers(corrector.loaded.parts.depth)
    return _scored(await back_sweep(corrector, questions, layers, screened=True), questions)


def _scored(grid: Texts, questions: Sequence[GoldQuestion]) -> Cells:
    return {
        choice: [exact_match(text, q.accepted) for text, q in zip(texts, questions, strict=True)]
        for choice, texts in grid.items()
    }


def best(cells: Cells) -> Choice:
    """Most right answers; of equals the earliest layers."""
    return max(cells, key=lambda choice: (sum(cells[choice]), -choice.source_layer, -choice.target_layer))


def accuracies(cells: Cells) -> dict[str, float]:
    """`l->l*`: the share of right answers."""
    return {f"{c.source_layer}->{c.target_layer}": sum(right) / len(right) for c, right in cells.items()}
