"""Patching across architectures and families (an open question of the paper): a Llama's states in other models.

Two-hop questions: hop 1 runs in one model, its last state goes through a mapping into hop 2 of another. Affine maps are
fitted on running text for a pair of layers; the vocabulary mapping needs one vocabulary, and no fitting. Pairs are
chosen on calibration questions and scored on test questions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from torch import Tensor

from correction.errors import InvalidInput
from correction.mappings import Mapping, fit
from correction.prompts import as_prompt
from eval.demo_world.questions import world_questions
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, findings, percent
from eval.experiments.lab import Lab, best_of, mean
from eval.questions import GoldQuestion
from eval.reports.document import Document, Section, Table, Text
from eval.scoring import exact_match

FITTED_ON = 800
Cells = dict[tuple[int, int], list[bool]]
PAPER = (
    "Cross-model patching is shown within two families, between sizes. Whether it works between families and "
    "architectures is left open."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """The first model's hop 1 into hop 2 of each model, itself included."""
    chosen = {
        name: world_questions(lab.world, part, lab.count)
        for name, part in (("choose", "calibration"), ("score", "test"))
    }
    figures: dict[str, Any] = {}
    rows, notes = [], []
    for taker in lab.inspector.hosts:
        name = taker or "itself"
        own = await _text(lab, taker, chosen["score"])
        for kind in ("identity", "ridge", "vocabulary"):
            lab.say(f"{name}, {kind}")
            try:
                cells = {part: await _cells(lab, taker, kind, questions) for part, questions in chosen.items()}
            except InvalidInput as error:
                rows.append([name, kind, percent(own), "not possible", "", ""])
                notes.append(f"{name}, {kind}: {error.message}.")
                figures[f"{name} {kind}"] = None
                continue
            shares = {pair: mean(hits) for pair, hits in cells["choose"].items()}
            pair = best_of(shares)
            scored = mean(cells["score"][pair])
            most = mean([any(hits[n] for hits in cells["score"].values()) for n in range(len(chosen["score"]))])
            rows.append([name, kind, percent(own), percent(scored), f"{pair[0]} to {pair[1]}", percent(most)])
            figures[f"{name} {kind}"] = {
                "pair": list(pair),
                "scored": scored,
                "any_pair": most,
                "cells": as_json(shares),
                "text": own,
            }
    columns = ["hop 2 in", "mapping", "hop 2 as text", "chosen pair", "which", "any pair (oracle)"]
    sections = [
        Section(
            "Hop 1 in the first model, hop 2 in each",
            [Table(columns, rows), Text(" ".join(notes) or "Every mapping was possible.")],
        )
    ]
    ridges = {
        name.removesuffix(" ridge"): given["scored"]
        for name, given in figures.items()
        if name.endswith(" ridge") and given
    }
    words = {
        name.removesuffix(" vocabulary"): given["scored"]
        for name, given in figures.items()
        if name.endswith(" vocabulary") and given
    }
    found = (
        "An affine map gives, with a pair of layers chosen on other questions, "
        + ", ".join(f"{share:.1%} in {name}" for name, share in ridges.items())
        + "; the vocabulary mapping, where vocabularies are one, "
        + (", ".join(f"{share:.1%} in {name}" for name, share in words.items()) or "nothing")
        + "."
    )
    return figures, findings(
        EXPERIMENTS["cross-architecture"], lab, paper=PAPER, found=found, sections=sections,
        setting=f"{lab.count} calibration and {lab.count} test questions; affine maps fitted on {FITTED_ON} texts.",
    )  # fmt: skip


async def _text(lab: Lab, taker: str | None, questions: list[GoldQuestion]) -> float:
    """How much of hop 2 the taker knows, the right bridge written as text."""
    said = await lab.says([as_prompt(q.hop2.replace("{}", q.bridge)) for q in questions], taker)
    return mean([exact_match(text, q.accepted) for text, q in zip(said, questions, strict=True)])


async def _cells(lab: Lab, taker: str | None, kind: str, questions: list[GoldQuestion]) -> Cells:
    layers, target_layers = list(range(1, lab.depth() + 1)), list(range(lab.depth(taker)))
    states = await lab.states([(as_prompt(q.hop1), -1) for q in questions], layers)
    targets = [lab.blank(q.hop2, taker) for q in questions]
    if kind == "ridge":
        return await _affine(lab, taker, targets, states, questions)
    if kind == "identity" and lab.host().loaded.shape.width != lab.host(taker).loaded.shape.width:
        raise InvalidInput(
            "the models have different widths",
            hint="take models of one width ('hopfix models MODEL' says it), or another mapping than identity",
        )
    mapping = lab.inspector.mapping(kind, None, taker)
    said = await lab.grid(targets, states, target_layers, mapping, taker=taker)
    return {
        (layer, t): [exact_match(rows[n][m], q.accepted) for rows, q in zip(said, questions, strict=True)]
        for n, layer in enumerate(layers)
        for m, t in enumerate(target_layers)
    }


async def _affine(
    lab: Lab, taker: str | None, targets: list[Any], states: Tensor, questions: list[GoldQuestion]
) -> Cells:
    given, taken = await asyncio.to_thread(lab.pairs, None, taker, lab.sentences(FITTED_ON, "fitted on"))
    cells: Cells = {}
    for layer in range(1, lab.depth() + 1):
        for target_layer in range(lab.depth(taker)):
            mapping: Mapping = fit(
                "ridge",
                lambda pair=(given[:, layer], taken[:, target_layer]): [pair],
                source_model=lab.host().loaded.fingerprint,
                target_model=lab.host(taker).loaded.fingerprint,
                source_layer=layer,
                target_layer=target_layer,
            )
            said = await lab.grid(targets, states[:, [layer - 1]], [target_layer], mapping, taker=taker)
            hits = [exact_match(rows[0][0], q.accepted) for rows, q in zip(said, questions, strict=True)]
            cells[layer, target_layer] = hits
    return cells
