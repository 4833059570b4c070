"""Next-token estimation: how well each layer's state tells the model's own next token (section 4.1, figure 2).

Estimators are rows of the paper's Table 1: logit lens, tuned lens (where a mapping is given), token identity. Each is
compared with the model's own likeliest next token: precision@1 is the share of prompts on which the two agree,
surprisal the mean of -log p(own token) under the estimator, in nats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import torch
from torch import Tensor

from correction.inspector import Inspector
from correction.mappings import IDENTITY
from correction.patchscope import Patchscope
from correction.scopes.common import at, source_of, target_of
from correction.scopes.logit_lens import through
from correction.scopes.readout import best_tokens, final_states, logprobs_of
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table
from correction.scopes.token_identity import PLACEHOLDER, PROMPT
from correction.scopes.tuned_lens import layer_mapping

Estimator = Callable[[int, Tensor], Awaitable[Tensor]]  # layer, its states -> states that the head reads; rows alike


async def next_token(inspector: Inspector, request: Request) -> Table:
    """Layers 0..L by estimator, over the request's prompts, at one position in each (the last unless given)."""
    loaded = inspector.host(request.model).loaded
    parts = loaded.parts
    layers = list(request.layers or range(parts.depth + 1))
    sources = [source_of(request, prompt) for prompt in request.prompts]
    read = [source.model_copy(update={"layer": layer}) for layer in [*layers, parts.depth] for source in sources]
    *states, last = torch.stack(await inspector.states(read)).view(len(layers) + 1, len(sources), -1)
    own, _ = await asyncio.to_thread(best_tokens, parts, last)
    target = target_of(inspector, request.model_copy(update={"target_model": request.model}), PROMPT, PLACEHOLDER)

    async def logit_lens(layer: int, given: Tensor) -> Tensor:
        return through(IDENTITY, loaded, given, last)

    async def tuned_lens(layer: int, given: Tensor) -> Tensor:
        return through(layer_mapping(inspector, request, layer), loaded, given, last)

    async def token_identity(layer: int, given: Tensor) -> Tensor:
        scopes = [at(Patchscope(source=source, target=target), layer, layer) for source in sources]
        passes = [inspector.pass_of(scope, [state[None]]) for scope, state in zip(scopes, given, strict=True)]
        return await final_states(inspector, request.model, passes)

    estimators: dict[str, Estimator] = {"logit lens": logit_lens}
    if request.mapping is not None:
        estimators["tuned lens"] = tuned_lens
    estimators["token identity"] = token_identity
    cells = []
    for layer, given in zip(layers, states, strict=True):
        row: list[Cell] = []
        for estimate in estimators.values():
            estimated = await estimate(layer, given)
            best, _ = await asyncio.to_thread(best_tokens, parts, estimated)
            surprisal = -float((await asyncio.to_thread(logprobs_of, parts, estimated, own)).mean())
            precision = float((best == own).float().mean())
            row += [
                Cell(f"{precision:.3f}", precision),
                Cell(f"{surprisal:.3f}", float(torch.tensor(-surprisal).exp())),
            ]
        cells.append(tuple(row))
    return Table(
        "next-token",
        "Next-token estimation: how well a layer's state tells the model's own next token",
        Axis("layer l", tuple(map(str, layers))),
        Axis(
            "estimator", tuple(f"{name} {measure}" for name in estimators for measure in ("precision@1", "surprisal"))
        ),
        "precision@1; of a surprisal (text, in nats) the probability it stands for, exp(-surprisal)",
        tuple(cells),
        (f"{len(sources)} prompts; token identity is read at l* = l",),
    )
