"""The layer grid of questions: every (source layer, target layer) pair of a mapping, as answer texts.

Hop 1 runs once a question with its states captured at every source layer; the engine's grid does the rest. Decoding the
cells is nearly all of the work. With gold in hand it can be spared (`screened`): the grid then gives every cell's first
token alone, and only cells that can still be right are decoded, as patched passes. Of the others nothing is known but
that they are wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from correction.corrector import Corrector
from correction.forms import phrase
from correction.grid import GridPass
from correction.passes import Capture, Pass, Sampling
from correction.profile import Choice
from correction.prompts import without_full_stop
from eval.questions import GoldQuestion
from eval.screening import may_open, openings

EVERY_LAYER = 12  # the deepest model whose oracles try every pair
COARSE = 10  # source layers, and as many target layers, of deeper ones

Texts = dict[Choice, list[str]]


def swept_layers(depth: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The source and the target layers that an oracle tries: every one of a model of up to 12 layers, else ten each.

    These are evenly spaced. Sources go from about L/10 to L, targets from 0 to about 9 L/10, and they are the same
    layers but for these ends, so that the pairs hold back-patching, too: for 30 layers 3, 6, ..., 30 and 0, 3, ..., 27.
    """
    steps = depth if depth <= EVERY_LAYER else COARSE
    layers = tuple((2 * step * depth + steps) // (2 * steps) for step in range(steps + 1))
    return layers[1:], layers[:-1]


def identity_grid(depth: int, mapping: str = "identity") -> list[Choice]:
    """The paper's grid: l in 1..L, l* in 0..L-1, one mapping."""
    return [Choice(source, target, mapping) for source in range(1, depth + 1) for target in range(depth)]


def oracle_grid(depth: int, mapping: str = "identity") -> list[Choice]:
    """The paper's grid, of a deep model its `swept_layers` alone."""
    sources, targets = swept_layers(depth)
    return [Choice(source, target, mapping) for source in sources for target in targets]


async def sweep(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    choices: Sequence[Choice],
    on_done: Callable[[int], None] = lambda count: None,
    *,
    screened: bool = False,
) -> Texts:
    """The answer text of every choice on every question: one placeholder, the state of hop 1's last position.

    With `screened` the text is empty where the first token shows that no text of that cell could be right.
    """
    prompts = corrector.prompts
    if not questions:
        return {choice: [] for choice in choices}
    layers = sorted({choice.source_layer for choice in choices})
    states = await _states(corrector, [prompts.encode(q.hop1, "hop1") for q in questions], layers)
    targets = [prompts.encode_blank(q.hop2) for q in questions]
    texts: Texts = {}
    for mapping in dict.fromkeys(choice.mapping for choice in choices):
        asked = [choice for choice in choices if choice.mapping == mapping]
        above = sorted({choice.source_layer for choice in asked})
        request = GridPass(
            [target.tokens for target in targets],
            [target.sites[0] for target in targets],
            states[:, [layers.index(layer) for layer in above]],
            sorted({choice.target_layer for choice in asked}),
            corrector.mapping(asked[0]),
            max_tokens=corrector.max_tokens,
        )
        texts |= await grid_texts(corrector, questions, request, above, asked, on_done, screened=screened)
    return {choice: texts[choice] for choice in choices}


async def back_sweep(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    layers: tuple[Sequence[int], Sequence[int]] | None = None,
    *,
    screened: bool = False,
) -> Texts:
    """Back-patching at the last token: the answer text of every pair with l > l* among these source and target layers,
    all of the model's if none are given. `screened` is as in `sweep`."""
    depth = corrector.loaded.parts.depth
    sources, targets = layers or (range(1, depth + 1), range(depth))
    choices = [Choice(source, target, "identity") for source in sources for target in targets if source > target]
    if not questions:
        return {choice: [] for choice in choices}
    prompts = [corrector.prompts.encode(q.ask().wording) for q in questions]
    states = await _states(corrector, prompts, sources)
    last = [len(prompt) - 1 for prompt in prompts]
    request = GridPass(prompts, last, states, targets, max_tokens=corrector.max_tokens)
    return await grid_texts(corrector, questions, request, sources, choices, screened=screened)


async def _states(corrector: Corrector, prompts: Sequence[tuple[int, ...]], layers: Sequence[int]) -> Tensor:
    """The states at each prompt's last token: (prompts, layers, width)."""
    captures = tuple(Capture(layer) for layer in layers)
    read = Sampling(max_tokens=0, top_logprobs=0)
    given = await asyncio.gather(*(corrector.engine.run(Pass(prompt, captures, sampling=read)) for prompt in prompts))
    return torch.stack([torch.stack([state[0] for state in result.states]) for result in given])


async def grid_texts(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    request: GridPass,
    sources: Sequence[int],
    choices: Sequence[Choice],
    on_done: Callable[[int], None] = lambda count: None,
    *,
    screened: bool = False,
) -> Texts:
    """What the chosen cells of a grid say to each question; `sources` are the layers that its states are from."""
    engine, targets = corrector.engine, list(request.target_layers)
    grid = await engine.grid(replace(request, max_tokens=1) if screened else request, on_done)
    cells = [(sources.index(choice.source_layer), targets.index(choice.target_layer)) for choice in choices]
    said = {choice: grid.tokens[:, *cell].tolist() for choice, cell in zip(choices, cells, strict=True)}
    if not screened:
        return {choice: [as_answer(corrector, tokens) for tokens in rows] for choice, rows in said.items()}
    passes = request.passes()
    open_cells: list[tuple[Choice, int]] = []
    decoded = []
    for row, question in enumerate(questions):
        accepted = openings(question)
        firsts = {tokens[row][0] for tokens in said.values()} - {-1}  # -1: it stopped at once and says nothing
        may = {token: may_open(corrector.loaded.decode([token]), accepted) for token in firsts}
        for choice, (source, target) in zip(choices, cells, strict=True):
            if may.get(said[choice][row][0]):
                open_cells.append((choice, row))
                decoded.append(engine.run(passes[(row * len(sources) + source) * len(targets) + target]))
    texts: Texts = {choice: [""] * len(questions) for choice in choices}
    for (choice, row), result in zip(open_cells, await asyncio.gather(*decoded), strict=True):
        texts[choice][row] = as_answer(corrector, result.tokens)
    return texts


def as_answer(corrector: Corrector, tokens: Sequence[int]) -> str:
    """Generated tokens as an answer, which ends where the corrector's own answers do; -1 stands for none."""
    given = [token for token in tokens if token >= 0]
    if corrector.prompts.forms.ends == "phrase":
        return without_full_stop(phrase(corrector.loaded.text(given)))
    return without_full_stop(corrector.loaded.decode(given))
