"""The layer grid: every (source layer, target layer) pair of a mapping, on a list of questions.

Hop 1 runs once a question with its states captured at every source layer; each cell is then one patched pass of hop 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from correction.corrector import Corrector
from correction.mappings import mapping_named
from correction.passes import Capture, Pass, Patch, Sampling
from correction.profile import Choice
from correction.prompts import without_full_stop
from eval.questions import GoldQuestion

Grid = dict[Choice, list[str]]


def identity_grid(depth: int, mapping: str = "identity") -> list[Choice]:
    """The paper's grid: l in 1..L, l* in 0..L-1, one mapping."""
    return [Choice(source, target, mapping) for source in range(1, depth + 1) for target in range(depth)]


async def sweep(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    choices: Sequence[Choice],
    on_done: Callable[[int], None] = lambda count: None,
) -> Grid:
    """The answer text of every choice on every question: one placeholder, the state of hop 1's last position."""
    engine, prompts = corrector.engine, corrector.prompts
    layers = sorted({choice.source_layer for choice in choices})
    short = Sampling(max_tokens=1, top_logprobs=0)
    sources = await asyncio.gather(
        *(
            engine.run(Pass(prompts.encode(q.hop1), tuple(Capture(layer) for layer in layers), sampling=short))
            for q in questions
        )
    )
    targets = [prompts.encode_blank(q.hop2) for q in questions]
    sampling = Sampling(corrector.max_tokens, 0)
    grid: Grid = {}
    for choice in choices:
        at, mapping = layers.index(choice.source_layer), mapping_named(choice.mapping)
        results = await asyncio.gather(
            *(
                engine.run(
                    Pass(
                        ids,
                        patches=(Patch(choice.target_layer, site, source.states[at][0], mapping),),
                        sampling=sampling,
                    )
                )
                for (ids, (site,)), source in zip(targets, sources, strict=True)
            )
        )
        grid[choice] = [without_full_stop(result.text) for result in results]
        on_done(len(results))
    return grid
