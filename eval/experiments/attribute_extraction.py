"""Attribute extraction (section 4.2, figure 3): a subject's attribute, asked of its state, against a linear probe.

The text before the subject never names the relation that is asked for, so the state holds the attribute only as far as
it belongs to the subject. The target layer is chosen on other facts than it is scored on; so is the probe trained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import torch

from correction.scopes.linear_probe import classify
from eval.demo_world.corpus import capitalised
from eval.demo_world.world import Fact
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, curve_table, curves, findings, percent
from eval.experiments.lab import Lab, Site, mean, right
from eval.reports.document import Document, Section, Table

LEAST = 24  # facts of a relation that is asked at all
MOST = 10  # relations
CHOSEN, ANY, PROBE = "Patchscope, l* chosen", "Patchscope, any l*", "linear probe"
PAPER = (
    "A zero-shot Patchscope that words the relation extracts attributes as well as or better than a linear probe "
    "trained for the task, on most of 12 tasks and up to late layers, though it sees no training data; there it counts "
    "a subject as right at a source layer if any target layer gives the attribute."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Relations with enough facts; half of each relation's facts choose and train, the other half is scored."""
    lines: dict[str, dict[int, list[float]]] = {CHOSEN: {}, ANY: {}, PROBE: {}}
    rows, by_relation = [], {}
    relations = [name for name, facts in lab.world.facts.items() if len(facts) >= LEAST]
    relations = lab.rng("relations").sample(relations, min(MOST, len(relations)))
    for relation in sorted(relations):
        lab.say(relation)
        facts = lab.facts(relation)[: 2 * lab.count]
        given = await _relation(lab, relation, facts)
        by_relation[relation] = {name: as_json(line) for name, line in given.items()}
        for name, line in given.items():
            for layer, share in line.items():
                lines[name].setdefault(layer, []).append(share)
        rows.append(
            [relation, str(len(facts) - len(facts) // 2), *(percent(max(line.values())) for line in given.values())]
        )
    means = {name: {layer: mean(shares) for layer, shares in line.items()} for name, line in lines.items()}
    peak = {name: max(line, key=lambda layer, line=line: line[layer]) for name, line in means.items()}
    found = (
        f"Over {len(relations)} relations the Patchscope with a chosen target layer peaks at layer {peak[CHOSEN]} with "
        f"{means[CHOSEN][peak[CHOSEN]]:.1%}, counted as in the paper (any target layer) at layer {peak[ANY]} with "
        f"{means[ANY][peak[ANY]]:.1%}; the probe at layer {peak[PROBE]} with {means[PROBE][peak[PROBE]]:.1%}. The "
        "probe can only say objects that it was trained on, the Patchscope any."
    )
    sections = [
        Section(
            "By source layer",
            [curves("attribute-extraction", "Attributes right by source layer", means), curve_table(means)],
        ),
        Section("By relation, at its best source layer", [Table(["relation", "n", CHOSEN, ANY, PROBE], rows)]),
    ]
    figures = {"mean": {name: as_json(line) for name, line in means.items()}, "relations": by_relation}
    return figures, findings(EXPERIMENTS["attribute-extraction"], lab, paper=PAPER, found=found, sections=sections)


async def _relation(lab: Lab, relation: str, facts: Sequence[Fact]) -> dict[str, dict[int, float]]:
    layers, target_layers = list(range(1, lab.depth() + 1)), list(range(lab.depth()))
    states = await lab.states([subject_of(lab, fact) for fact in facts], layers)
    target = lab.blank(capitalised(lab.world.relations[relation].all_clozes()[0]))
    texts = await lab.grid([target] * len(facts), states, target_layers)
    hits = torch.tensor(
        [[[right(text, fact) for text in row] for row in rows] for rows, fact in zip(texts, facts, strict=True)]
    )
    half = len(facts) // 2
    chosen = hits[:half].float().mean(0).argmax(-1)  # a target layer for each source layer
    names = sorted({fact.object for fact in facts})
    labels = torch.tensor([names.index(fact.object) for fact in facts])
    probed = {}
    for n, layer in enumerate(layers):
        given = states[:, n].float().cpu()
        said = await asyncio.to_thread(classify, given[:half], labels[:half], given[half:], len(names))
        probed[layer] = float((said == labels[half:]).float().mean())
    return {
        CHOSEN: {layer: float(hits[half:, n, chosen[n]].float().mean()) for n, layer in enumerate(layers)},
        ANY: {layer: float(hits[half:, n].any(-1).float().mean()) for n, layer in enumerate(layers)},
        PROBE: probed,
    }


def subject_of(lab: Lab, fact: Fact) -> Site:
    """The subject in a statement of another relation about it, up to its last token; else at the beginning of one."""
    kind = lab.world.relations[fact.relation].subject
    others = [r for r in lab.world.relations.values() if r.subject == kind and r.name != fact.relation]
    clozes = [cloze for other in others for cloze in other.all_clozes()] or ["{}"]
    cloze = lab.rng(f"{fact.relation} {fact.subject}").choice(clozes)
    before, _, _ = cloze.partition("{}")
    return capitalised(f"{before}{fact.subject}"), -1
