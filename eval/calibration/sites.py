"""Sweeps of layer pairs: the paper's identity grid, for several placeholders, and back-patching within a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import torch

from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.grid import GridPass
from correction.passes import Capture, Pass, Sampling
from correction.profile import Choice
from correction.prompts import without_full_stop
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.sweep import identity_grid, sweep

PLACEHOLDERS = ("x", "it", "the", "?")

Cells = dict[Choice, list[bool]]  # whether each question is right in each cell


async def identity_cells(corrector: Corrector, questions: Sequence[GoldQuestion], mapping: str = "identity") -> Cells:
    """The paper's grid, scored."""
    grid = await sweep(corrector, questions, identity_grid(corrector.loaded.parts.depth, mapping))
    return {
        choice: [exact_match(text, q.accepted) for text, q in zip(texts, questions, strict=True)]
        for choice, texts in grid.items()
    }


def holding(corrector: Corrector, placeholder: str) -> Corrector:
    """The corrector with another placeholder."""
    return corrector.using(replace(corrector.used, placeholder=placeholder))


def suitable(corrector: Corrector, questions: Sequence[GoldQuestion]) -> list[str]:
    """The placeholders that this tokenizer keeps as one token in every hop 2."""
    names = dict.fromkeys((corrector.used.placeholder, *PLACEHOLDERS))
    return [name for name in names if _fits(holding(corrector, name), questions)]


def _fits(corrector: Corrector, questions: Sequence[GoldQuestion]) -> bool:
    try:
        for question in questions:
            corrector.prompts.encode_blank(question.hop2)
    except InvalidInput:
        return False
    return True


async def back_cells(corrector: Corrector, questions: Sequence[GoldQuestion]) -> Cells:
    """Back-patching at the last token: every pair of layers with l > l*."""
    depth = corrector.loaded.parts.depth
    prompts = [corrector.prompts.encode(q.ask().direct_text) for q in questions]
    layers = range(1, depth + 1)
    captures = tuple(Capture(layer) for layer in layers)
    given = await asyncio.gather(
        *(corrector.engine.run(Pass(prompt, captures, sampling=Sampling(0, 0))) for prompt in prompts)
    )
    states = torch.stack([torch.stack([state[0] for state in result.states]) for result in given])
    last = [len(prompt) - 1 for prompt in prompts]
    request = GridPass(prompts, last, states, list(range(depth)), max_tokens=corrector.max_tokens)
    grid = await corrector.engine.grid(request)
    scored: Cells = {}
    for source in layers:
        for target in range(min(source, depth)):
            tokens = grid.tokens[:, source - 1, target].tolist()
            texts = (corrector.loaded.decode([t for t in cell if t >= 0]) for cell in tokens)
            scored[Choice(source, target, "identity")] = [
                exact_match(without_full_stop(text), q.accepted) for text, q in zip(texts, questions, strict=True)
            ]
    return scored


def best(cells: Cells) -> Choice:
    """Most right answers; of equals the earliest layers."""
    return max(cells, key=lambda choice: (sum(cells[choice]), -choice.source_layer, -choice.target_layer))


def accuracies(cells: Cells) -> dict[str, float]:
    """`l->l*`: the share of right answers."""
    return {f"{c.source_layer}->{c.target_layer}": sum(right) / len(right) for c, right in cells.items()}
