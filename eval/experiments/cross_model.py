"""Cross-model patching within a family (section 4.4): a model's states, through an affine map, read by a larger one.

Next-token estimation again: is what the target says for a state the source's own next token? The map of every pair of
layers is fitted on other texts.
"""

from __future__ import annotations

import asyncio
from typing import Any

import torch

from correction.mappings import IDENTITY, Mapping, fit
from correction.passes import Pass, Sampling
from correction.prompts import without_full_stop
from correction.questions import BLANK
from correction.scopes.token_identity import PLACEHOLDER, PROMPT
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, curve_table, curves, findings, heatmap
from eval.experiments.lab import Lab, best_of, cut
from eval.reports.document import Document, Section

FITTED_ON = 600
PAPER = (
    "Affine maps between models of one family (Vicuna 7B to 13B, Pythia 6.9B to 12B) let the larger model's token "
    "identity prompt tell the smaller one's next token, best where source and target are about equally deep, and often "
    "better than the smaller model's own prompt does: the larger one is the more expressive reader."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Every l of the source into every l* of the target, and the source's own token identity at l* = l beside it."""
    target = next(name for name in lab.inspector.hosts if name is not None)
    rng = lab.rng("cross model")
    texts = [cut(text, rng.random()) for text in lab.sentences(lab.count, "estimated")]
    depth, target_depth = lab.depth(), lab.depth(target)
    layers, target_layers = list(range(depth + 1)), list(range(target_depth))
    lab.say("reading states")
    states = await lab.states([(text, -1) for text in texts], layers)
    own = await _next_tokens(lab, texts)
    given, taken = await asyncio.to_thread(lab.pairs, None, target, lab.sentences(FITTED_ON, "fitted on"))
    cells: dict[tuple[int, int], float] = {}
    for layer in layers:
        for target_layer in target_layers:
            lab.say(f"layer {layer} into layer {target_layer}")
            mapping = _affine(lab, target, (given[:, layer], taken[:, target_layer]), layer, target_layer)
            cells[layer, target_layer] = await _precision(lab, target, states[:, [layer]], target_layer, mapping, own)
    lab.say("the source's own prompt")
    within = {layer: await _precision(lab, None, states[:, [layer]], layer, IDENTITY, own) for layer in range(depth)}
    best = {layer: max(cells[layer, t] for t in target_layers) for layer in layers}
    chosen = best_of(cells)
    above = [layer for layer in within if best[layer] > within[layer]]
    found = (
        f"The best pair is layer {chosen[0]} into layer {chosen[1]} of {target_depth} with {cells[chosen]:.1%} of the "
        "source's next tokens. The larger model (its best target layer for each source layer, an oracle's choice) is "
        f"the better reader at source layers {', '.join(map(str, above)) or 'none'} of 0 to {depth - 1}."
    )
    lines = {"target, best l*": best, "source's own prompt, l* = l": within}
    sections = [
        Section(
            "Precision@1 of every pair of layers",
            [heatmap("cross-model", f"Source's next token said by {target}", cells, chosen)],
        ),
        Section(
            "By source layer", [curves("cross-model-layers", "Precision@1 by source layer", lines), curve_table(lines)]
        ),
    ]
    figures = {"cells": as_json(cells), "within": as_json(within), "texts": len(texts)}
    return figures, findings(
        EXPERIMENTS["cross-model"], lab, paper=PAPER, found=found, sections=sections,
        setting=f"{len(texts)} texts; every map is a ridge regression on the tokens of {FITTED_ON} other texts.",
    )  # fmt: skip


async def _next_tokens(lab: Lab, texts: list[str]) -> list[str]:
    """Each text's own next token, as text."""
    host = lab.host()
    passes = [Pass(tuple(host.loaded.tokenizer(text)["input_ids"]), sampling=Sampling(1, 0)) for text in texts]
    results = await asyncio.gather(*(host.engine.run(request) for request in passes))
    return [host.loaded.decode(list(result.tokens)) for result in results]


def _affine(lab: Lab, target: str, pair: tuple[torch.Tensor, torch.Tensor], layer: int, target_layer: int) -> Mapping:
    return fit(
        "ridge",
        lambda: [pair],
        source_model=lab.host().loaded.fingerprint,
        target_model=lab.host(target).loaded.fingerprint,
        source_layer=layer,
        target_layer=target_layer,
    )


async def _precision(
    lab: Lab, taker: str | None, states: torch.Tensor, target_layer: int, mapping: Mapping, own: list[str]
) -> float:
    site = (PROMPT.replace(BLANK, PLACEHOLDER), -1)
    texts = await lab.grid([site] * len(own), states, [target_layer], mapping, giver=None, taker=taker, max_tokens=1)
    return sum(rows[0][0] == without_full_stop(token.strip()) for rows, token in zip(texts, own, strict=True)) / len(
        own
    )
