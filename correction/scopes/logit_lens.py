"""The logit lens: what each layer would say next if it were the last one (nostalgebraist 2020).

Row "Logit lens" of the paper's Table 1: T = S up to i, i* = i, f = identity, M* = M, l* = L. The patched state is then
the last layer's at the token that is read, so nothing of the target pass is left to run but norm and head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import torch
from torch import Tensor

from correction.inspector import Inspector
from correction.mappings import IDENTITY, Mapping
from correction.models import LoadedModel
from correction.passes import Patch, check_width
from correction.patchscope import Source, find_sites
from correction.scopes.common import SOURCE_LAYERS, source_of, token_labels
from correction.scopes.readout import best_tokens
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table


async def logit_lens(inspector: Inspector, request: Request) -> Table:
    """Layers 0..L by the prompt's tokens; each cell is the likeliest next token and its probability."""
    title = "Logit lens: the next token that each layer's state gives through the last norm and head"
    return await lens(inspector, request, lambda layer: IDENTITY, "logit-lens", title)


async def lens(
    inspector: Inspector, request: Request, mapping_at: Callable[[int], Mapping], name: str, title: str
) -> Table:
    """A lens with a mapping for each layer. At every token, or at the request's position alone."""
    loaded = inspector.host(request.model).loaded
    source = source_of(request)
    tokens = find_sites(loaded, source.prompt, 0, -1).tokens
    positions = tuple(range(len(tokens))) if request.position is None else inspector.sites(source).positions
    depth = loaded.parts.depth
    layers = list(request.layers or range(depth + 1))
    read = [Source(prompt=tokens, layer=layer, position=positions, model=request.model) for layer in [*layers, depth]]
    *states, last = await inspector.states(read)
    mapped = [through(mapping_at(layer), loaded, state, last) for layer, state in zip(layers, states, strict=True)]
    best, logprobs = await asyncio.to_thread(best_tokens, loaded.parts, torch.cat(mapped))
    said = [
        Cell(text, probability)
        for text, probability in zip(token_labels(loaded, best.tolist()), logprobs.exp().tolist(), strict=True)
    ]
    return Table(
        name,
        title,
        Axis(SOURCE_LAYERS, tuple(map(str, layers))),
        Axis("token", token_labels(loaded, [tokens[position] for position in positions])),
        "probability of the token",
        tuple(tuple(said[n : n + len(positions)]) for n in range(0, len(said), len(positions))),
    )


@torch.inference_mode()
def through(mapping: Mapping, loaded: LoadedModel, states: Tensor, last: Tensor) -> Tensor:
    """States (rows, width) as the mapping writes them over the last layer's; raises `InvalidInput` for other widths."""
    check_width(Patch(loaded.parts.depth, -1, states[0], mapping), loaded.shape)
    return mapping(states, last, loaded.parts, loaded.parts)
