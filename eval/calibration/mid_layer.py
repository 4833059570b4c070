"""The best repair at l* >= 1 without the vocabulary: identity, norm-matched, or a mapping fitted on calibration pairs.

A pair is the state that predicts a bridge's token in hop 1, and the state that the same token has in hop 2 when the
bridge is written there as text: what a true hidden-state repair would have to bring about. Every cell is scored on
bridges that its mapping was not fitted on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from correction.asking import Asking
from correction.corrector import Corrector
from correction.grid import GridPass
from correction.mappings import FittedMapping, fit
from correction.passes import Capture, Pass, Sampling
from correction.profile import FITTED, Choice
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.sweep import grid_texts, swept_layers

HALVES = 2
LINEAR, NONLINEAR = "ridge", ("mlp", "kernel")
STRENGTH = 1e-2  # of the ridge: there are hardly more pairs than dimensions


@dataclass(frozen=True, eq=False)
class Pairs:
    """sources: (rows, L, width), layers 1 to L. targets: (rows, L - 1, width), layers 1 to L - 1. Rows are bridge
    tokens; owner: the question of each. first: (questions, L, width), the states that predict the first tokens."""

    sources: Tensor
    targets: Tensor
    owner: Tensor
    first: Tensor

    def fitted(self, corrector: Corrector, kind: str, choice: Choice, inside: Sequence[int] | None) -> FittedMapping:
        """A mapping between the choice's layers, fitted on the pairs of these questions."""
        rows = slice(None) if inside is None else torch.isin(self.owner, torch.tensor(list(inside)))
        pair = (self.sources[rows, choice.source_layer - 1], self.targets[rows, choice.target_layer - 1])
        model = corrector.loaded.fingerprint
        return fit(
            kind,
            lambda: [pair],
            source_model=model,
            target_model=model,
            source_layer=choice.source_layer,
            target_layer=choice.target_layer,
            strength=STRENGTH,
        )


async def pairs(corrector: Corrector, questions: Sequence[GoldQuestion]) -> Pairs:
    """Reads every hop 1 with its states at all layers, and hop 2 with the bridge that was read as text."""
    depth, engine, prompts = corrector.loaded.parts.depth, corrector.engine, corrector.prompts
    layers = range(1, depth + 1)
    follow = tuple(Capture(layer, follow=True) for layer in layers)
    read = Sampling(corrector.max_tokens, 0)
    given = await asyncio.gather(
        *(engine.run(Pass(prompts.encode(q.hop1, "hop1"), follow, sampling=read)) for q in questions)
    )

    async def target(question: GoldQuestion, bridge: tuple[int, ...]) -> Tensor:
        blank = prompts.encode_blank(question.hop2, len(bridge))
        sites, spelled = blank.sites, list(blank.tokens)
        for site, token in zip(sites, bridge, strict=True):
            spelled[site] = token
        captures = tuple(Capture(layer, site) for site in sites for layer in range(1, depth))
        result = await engine.run(Pass(tuple(spelled), captures, sampling=Sampling(0, 0)))
        return torch.stack([state[0] for state in result.states]).unflatten(0, (len(bridge), depth - 1))

    asking = Asking(corrector.loaded, engine, prompts, corrector.max_tokens)
    bridges = [result.tokens[: asking.named(result.tokens)[1]] for result in given]  # what comes after a name is none
    asked = [number for number, bridge in enumerate(bridges) if bridge]
    targets = await asyncio.gather(*(target(questions[n], bridges[n]) for n in asked))
    sources = [torch.stack([s[: len(bridges[n])] for s in given[n].states], dim=1) for n in asked]
    owner = torch.tensor([n for n in asked for _ in bridges[n]])
    first = torch.stack([torch.stack([state[0] for state in result.states]) for result in given])
    return Pairs(torch.cat(sources), torch.cat(targets), owner, first)


async def cells(
    corrector: Corrector, questions: Sequence[GoldQuestion], seen: Pairs, kind: str, choices: Sequence[Choice]
) -> dict[Choice, list[bool]]:
    """Whether each question is right in each cell, through a mapping fitted on the other half of the bridges."""
    names = sorted({q.bridge for q in questions})
    half = np.array([names.index(q.bridge) % HALVES for q in questions])
    targets = [corrector.prompts.encode_blank(q.hop2) for q in questions]
    right = {choice: [False] * len(questions) for choice in choices}
    for choice in choices:
        for number in range(HALVES):
            inside, outside = (np.flatnonzero((half == number) == same).tolist() for same in (False, True))
            request = GridPass(
                [targets[n].tokens for n in outside],
                [targets[n].sites[0] for n in outside],
                seen.first[outside][:, [choice.source_layer - 1]],
                [choice.target_layer],
                seen.fitted(corrector, kind, choice, inside),
                max_tokens=corrector.max_tokens,
            )
            asked = [questions[n] for n in outside]
            said = await grid_texts(corrector, asked, request, [choice.source_layer], [choice], screened=True)
            for n, text in zip(outside, said[choice], strict=True):
                right[choice][n] = exact_match(text, questions[n].accepted)
    return right


def repairs(grid: dict[Choice, list[bool]]) -> dict[Choice, list[bool]]:
    """The cells of a grid with l* >= 1."""
    return {choice: right for choice, right in grid.items() if choice.target_layer >= 1}


def fitted_choices(depth: int) -> list[Choice]:
    """Every pair with l* >= 1; of a deep model, where each costs a fit and passes, every third of the layers swept."""
    sources, targets = swept_layers(depth)
    step = 1 if len(sources) == depth else 3
    return [Choice(source, target, FITTED) for source in sources[::-step] for target in targets[1::step]]
