"""Next-token estimation (section 4.1, figure 2): which method tells the model's own next token from an early layer."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from correction.mappings import fit, save_mapping
from correction.scopes.next_token import next_token
from correction.scopes.request import Request
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import curve_table, curves, findings
from eval.experiments.lab import Lab, cut
from eval.reports.document import Document, Section, Table

FITTED_ON = 600  # texts; every token of one but the first is a pair
ESTIMATORS = ("logit lens", "tuned lens", "token identity")
PAPER = (
    "From layer 10 on, patching a state into a prompt that repeats tokens tells the model's next token better than the "
    "logit lens and than a fitted affine map (the tuned lens), on four models of 6 to 13 billion parameters: higher "
    "precision@1 and lower surprisal, without any training."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Texts of the world's facts, cut at a word of chance; the tuned lens is fitted on others."""
    rng = lab.rng("next token")
    texts = [cut(text, rng.random()) for text in lab.sentences(lab.count, "estimated")]
    depth = lab.depth()
    with tempfile.TemporaryDirectory() as folder:
        lab.say("fitting the tuned lens")
        await asyncio.to_thread(_fit_lenses, lab, Path(folder))
        lab.say(f"estimating from {depth} layers")
        request = Request(prompts=tuple(texts), mapping=f"{folder}/lens-{{}}.safetensors", layers=tuple(range(depth)))
        table = await next_token(lab.inspector, request)
    precision: dict[str, dict[int, float]] = {name: {} for name in ESTIMATORS}
    surprisal: dict[str, dict[int, float]] = {name: {} for name in ESTIMATORS}
    for layer, row in enumerate(table.cells):
        for n, name in enumerate(ESTIMATORS):
            right, surprised = row[2 * n], row[2 * n + 1]
            assert right is not None
            assert surprised is not None
            precision[name][layer] = float(right.text)
            surprisal[name][layer] = float(surprised.text)
    figures = {"precision@1": precision, "surprisal": surprisal, "texts": len(texts), "fitted_on": FITTED_ON}
    rows = [[name, *(f"{line[layer]:.2f}" for layer in range(depth))] for name, line in surprisal.items()]
    sections = [
        Section(
            "Precision@1: the share of texts where the estimate is the model's own next token",
            [curves("next-token", "Precision@1 by layer", precision), curve_table(precision, "estimator")],
        ),
        Section(
            "Surprisal: -log p of the model's own next token under the estimate, in nats",
            [Table(["estimator", *(f"l = {layer}" for layer in range(depth))], rows)],
        ),
    ]
    found = _found(precision, depth)
    setting = (
        f"{len(texts)} texts cut at a word of chance; the lens of each layer is a ridge regression on {FITTED_ON}."
    )
    return figures, findings(
        EXPERIMENTS["next-token"], lab, paper=PAPER, found=found, sections=sections, setting=setting
    )


def _fit_lenses(lab: Lab, folder: Path) -> None:
    loaded = lab.host().loaded
    states, _ = lab.pairs(None, None, lab.sentences(FITTED_ON, "fitted on"))
    depth = loaded.parts.depth
    for layer in range(depth):
        pair = (states[:, layer], states[:, depth])
        mapping = fit(
            "ridge",
            lambda pair=pair: [pair],
            source_model=loaded.fingerprint,
            target_model=loaded.fingerprint,
            source_layer=layer,
            target_layer=depth,
        )
        save_mapping(mapping, folder / f"lens-{layer}.safetensors")


def _found(precision: dict[str, dict[int, float]], depth: int) -> str:
    identity = precision["token identity"]
    ahead = [layer for layer in range(depth) if identity[layer] > max(precision[n][layer] for n in ESTIMATORS[:2])]
    where = f"ahead of both lenses at layers {', '.join(map(str, ahead))}" if ahead else "ahead of both lenses nowhere"
    gaps = "; ".join(
        f"layer {layer}: " + ", ".join(f"{name} {precision[name][layer]:.1%}" for name in ESTIMATORS)
        for layer in (depth // 2, depth - 1)
    )
    return f"Token identity is {where} of 0 to {depth - 1}. Precision@1 at {gaps}."
