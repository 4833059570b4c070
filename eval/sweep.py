"""The layer grid of questions: every (source layer, target layer) pair of a mapping, as answer texts.

Hop 1 runs once a question with its states captured at every source layer; the engine's grid does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import torch

from correction.corrector import Corrector
from correction.grid import GridPass
from correction.passes import Capture, Pass, Sampling
from correction.profile import Choice
from correction.prompts import without_full_stop
from eval.questions import GoldQuestion

Texts = dict[Choice, list[str]]


def identity_grid(depth: int, mapping: str = "identity") -> list[Choice]:
    """The paper's grid: l in 1..L, l* in 0..L-1, one mapping."""
    return [Choice(source, target, mapping) for source in range(1, depth + 1) for target in range(depth)]


async def sweep(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    choices: Sequence[Choice],
    on_done: Callable[[int], None] = lambda count: None,
) -> Texts:
    """The answer text of every choice on every question: one placeholder, the state of hop 1's last position."""
    engine, prompts = corrector.engine, corrector.prompts
    if not questions:
        return {choice: [] for choice in choices}
    layers = sorted({choice.source_layer for choice in choices})
    captures = tuple(Capture(layer) for layer in layers)
    read = Sampling(max_tokens=0, top_logprobs=0)
    sources = await asyncio.gather(
        *(engine.run(Pass(prompts.encode(q.hop1, "hop1"), captures, sampling=read)) for q in questions)
    )
    states = torch.stack([torch.stack([state[0] for state in source.states]) for source in sources])
    targets = [prompts.encode_blank(q.hop2) for q in questions]
    texts: Texts = {}
    for mapping in dict.fromkeys(choice.mapping for choice in choices):
        asked = [choice for choice in choices if choice.mapping == mapping]
        above = sorted({choice.source_layer for choice in asked})
        below = sorted({choice.target_layer for choice in asked})
        request = GridPass(
            [target.tokens for target in targets],
            [target.sites[0] for target in targets],
            states[:, [layers.index(layer) for layer in above]],
            below,
            corrector.mapping(asked[0]),
            max_tokens=corrector.max_tokens,
        )
        grid = await engine.grid(request, on_done)
        for choice in asked:
            cells = grid.tokens[:, above.index(choice.source_layer), below.index(choice.target_layer)].tolist()
            decoded = (corrector.loaded.decode([token for token in cell if token >= 0]) for cell in cells)
            texts[choice] = [without_full_stop(text) for text in decoded]
    return {choice: texts[choice] for choice in choices}


async def back_sweep(corrector: Corrector, questions: Sequence[GoldQuestion]) -> Texts:
    """Back-patching at the last token: the answer text of every pair of layers with l > l*."""
    depth = corrector.loaded.parts.depth
    prompts = [corrector.prompts.encode(q.ask().wording) for q in questions]
    layers = range(1, depth + 1)
    captures = tuple(Capture(layer) for layer in layers)
    given = await asyncio.gather(
        *(corrector.engine.run(Pass(prompt, captures, sampling=Sampling(0, 0))) for prompt in prompts)
    )
    states = torch.stack([torch.stack([state[0] for state in result.states]) for result in given])
    last = [len(prompt) - 1 for prompt in prompts]
    request = GridPass(prompts, last, states, list(range(depth)), max_tokens=corrector.max_tokens)
    grid = await corrector.engine.grid(request)
    texts: Texts = {}
    for source in layers:
        for target in range(min(source, depth)):
            cells = grid.tokens[:, source - 1, target].tolist()
            decoded = (corrector.loaded.decode([token for token in cell if token >= 0]) for cell in cells)
            texts[Choice(source, target, "identity")] = [without_full_stop(text) for text in decoded]
    return texts
