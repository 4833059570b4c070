"""Layers whose states the model's own head can read: where a hop may be left early, or nothing is to be tried.

One pass a question shows it for every layer: does the state at the last token of the prompt already give the token that
the last layer gives? On the small models that were trained here the bridge is there after a few layers; on a pretrained
one hardly before the end. What is not readable is left out of calibration, which would run every question twice for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import torch

from correction.corrector import Corrector
from correction.passes import Capture, Pass, Sampling

READ = 0.7  # of the prompts, whose first token a layer must give
LOOKED_AT = 100  # prompts, evenly taken


async def readable_layers(corrector: Corrector, prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """The layers l in 1..L whose states give the first token of enough of these prompts; L is always one."""
    parts = corrector.loaded.parts
    layers = range(1, parts.depth + 1)
    captures = tuple(Capture(layer) for layer in layers)
    some = prompts[:: -(-len(prompts) // LOOKED_AT)]
    passes = [Pass(prompt, captures, sampling=Sampling(0, 0)) for prompt in some]
    agreed = torch.zeros(parts.depth)
    for result in await asyncio.gather(*map(corrector.engine.run, passes)):
        with torch.inference_mode():
            said = parts.predict(torch.cat(result.states)).argmax(-1).cpu()  # (L,)
        agreed += said == said[-1]
    return [layer for layer, count in zip(layers, agreed.tolist(), strict=True) if count >= READ * len(some)]
