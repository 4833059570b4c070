"""The mapping's expressiveness: does a richer f make a state more useful elsewhere (an open question of the paper)?

Twice: two-hop repair, with mappings fitted on other bridges; and attributes asked of late states, with mappings that
take a late state back to what the same token had in layer 1, fitted on running text.
"""

from __future__ import annotations

import asyncio
from typing import Any

from correction.mappings import MAPPINGS, Mapping, fit
from correction.profile import FITTED, Choice
from eval.calibration.mid_layer import cells as fitted_cells
from eval.calibration.mid_layer import pairs
from eval.calibration.sites import identity_cells
from eval.demo_world.corpus import capitalised
from eval.demo_world.questions import world_questions
from eval.experiments import EXPERIMENTS
from eval.experiments.attribute_extraction import subject_of
from eval.experiments.findings import as_json, curve_table, curves, findings, percent
from eval.experiments.lab import Lab, best_of, mean, right
from eval.reports.document import Document, Section, Table, Text

FIXED, KINDS = ("identity", "norm_matched", "vocabulary"), ("ridge", "mlp", "kernel")
FITTED_ON = 600  # texts, for the second half
RELATIONS = 6
REPAIR_NOTE = (
    "Fitted mappings are scored on bridges that they were not fitted on; there is none into layer 0, where the "
    "vocabulary mapping writes a mixture of embeddings. The best pair is chosen on the questions it is scored on: an "
    "upper bound of each mapping, alike for all."
)
PAPER = (
    "It uses the identity, and affine maps between models. In late layers attributes become harder to extract; whether "
    "a more expressive f would help there it leaves open."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Two-hop repair by mapping and target layer; attributes by mapping and source layer."""
    repair, rows = await _repair(lab)
    lines = await _attributes(lab)
    low = {
        name: max(cells[pair] for pair in cells if pair[1] == 0)
        for name, cells in repair.items()
        if any(t == 0 for _, t in cells)
    }
    high = {name: max(cells[pair] for pair in cells if pair[1] >= 1) for name, cells in repair.items()}
    best_low, best_high = (max(given, key=lambda name, given=given: given[name]) for given in (low, high))
    last = lab.depth()
    late = {name: line[last] for name, line in lines.items()}
    best_late = max(late, key=lambda name: late[name])
    found = (
        f"Two-hop repair into layer 0: best is {best_low} with {low[best_low]:.1%} (identity {low['identity']:.1%}); "
        f"into layers above 0, {best_high} with {high[best_high]:.1%} (identity {high['identity']:.1%}, "
        f"ridge {high['ridge']:.1%}, MLP {high['mlp']:.1%}, kernel {high['kernel']:.1%}). Attributes of the last "
        f"layer's states: identity {late['identity']:.1%}, best {best_late} with {late[best_late]:.1%}."
    )
    sections = [
        Section(
            "Two-hop repair: the best pair of each mapping",
            [
                Table(["mapping", "l* = 0", "which", "l* >= 1", "which"], rows),
                Text(REPAIR_NOTE),
            ],
        ),
        Section(
            "Attributes by source layer, written at layer 1",
            [curves("mappings", "Attributes right by source layer and mapping", lines), curve_table(lines, "mapping")],
        ),
    ]
    figures = {
        "repair": {name: as_json(cells) for name, cells in repair.items()},
        "attributes": {name: as_json(line) for name, line in lines.items()},
    }
    return figures, findings(EXPERIMENTS["mappings"], lab, paper=PAPER, found=found, sections=sections)


async def _repair(lab: Lab) -> tuple[dict[str, dict[tuple[int, int], float]], list[list[str]]]:
    corrector, depth = lab.corrector, lab.depth()
    questions = world_questions(lab.world, "test", lab.count)
    found: dict[str, dict[tuple[int, int], float]] = {}
    for name in FIXED:
        lab.say(f"two hops, {name}")
        given = await identity_cells(corrector, questions, name)
        found[name] = {(c.source_layer, c.target_layer): mean(hits) for c, hits in given.items()}
    seen = await pairs(corrector, questions)
    sources = sorted({max(1, depth // 2), max(1, depth - 1), depth})
    choices = [Choice(source, target, FITTED) for source in sources for target in range(1, depth)]
    for kind in KINDS:
        lab.say(f"two hops, {kind}")
        marks = await fitted_cells(corrector, questions, seen, kind, choices)
        found[kind] = {(c.source_layer, c.target_layer): mean(hits) for c, hits in marks.items()}
    rows = []
    for name, cells in found.items():
        row = [name]
        for wanted in ({p: s for p, s in cells.items() if p[1] == 0}, {p: s for p, s in cells.items() if p[1] >= 1}):
            pair = best_of(wanted) if wanted else None
            row += [percent(wanted[pair]), f"{pair[0]} to {pair[1]}"] if pair else ["", ""]
        rows.append(row)
    return found, rows


async def _attributes(lab: Lab) -> dict[str, dict[int, float]]:
    """Share of attributes right by mapping and source layer; mappings lead from layer l to layer 1."""
    layers = list(range(1, lab.depth() + 1))
    relations = [name for name, facts in lab.world.facts.items() if len(facts) >= lab.count // 4]
    relations = sorted(lab.rng("relations").sample(relations, min(RELATIONS, len(relations))))
    facts = [fact for relation in relations for fact in lab.facts(relation)[: lab.count // 2]]
    lab.say("reading states")
    states = await lab.states([subject_of(lab, fact) for fact in facts], layers)
    targets = [lab.blank(capitalised(lab.world.relations[f.relation].all_clozes()[0])) for f in facts]
    given, _ = await asyncio.to_thread(lab.pairs, None, None, lab.sentences(FITTED_ON, "fitted on"))
    lines: dict[str, dict[int, float]] = {name: {} for name in ("identity", "norm_matched", *KINDS)}
    model = lab.host().loaded.fingerprint
    for n, layer in enumerate(layers):
        pair = (given[:, layer], given[:, 1])
        for name, line in lines.items():
            lab.say(f"attributes, {name}, layer {layer}")
            mapping: Mapping
            if name in MAPPINGS:
                mapping = MAPPINGS[name]
            else:
                mapping = await asyncio.to_thread(
                    fit,
                    name,
                    lambda pair=pair: [pair],
                    source_model=model,
                    target_model=model,
                    source_layer=layer,
                    target_layer=1,
                )
            texts = await lab.grid(targets, states[:, [n]], [1], mapping)
            line[layer] = mean([right(rows[0][0], fact) for rows, fact in zip(texts, facts, strict=True)])
    return lines
