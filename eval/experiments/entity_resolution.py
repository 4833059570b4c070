"""Entity resolution (section 4.3): at which layer a name has become the entity that the model knows things about.

The paper asks a few-shot prompt for a description and compares it with a reference text. Here the truth is known: an
entity is as far resolved as its facts can be asked of its state. Names of one token and of several are told apart: only
the second have to be put together.
"""

from __future__ import annotations

from typing import Any

import torch

from eval.demo_world.corpus import capitalised
from eval.demo_world.world import Fact
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, curve_table, curves, findings
from eval.experiments.lab import Lab, mean, right, statement
from eval.reports.document import Document, Section, Text

ASKED = 4  # facts of an entity, at most
ONE, SEVERAL = "one token", "several tokens"
PAPER = (
    'In a few early layers the description moves from the last word of a name to the whole entity ("Wales", then '
    '"Diana, Princess of Wales"); descriptions are closest to the reference around the first third of the layers.'
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Entities with facts about them: their last token's state, or the states of all their tokens, at l = 0..L into
    each fact's statement at l* = l and 0."""
    groups = _entities(lab)
    depth = lab.depth()
    layers = list(range(depth + 1))
    lines: dict[str, dict[int, float]] = {}
    for group, entities in groups.items():
        lab.say(group)
        cases = [(name, fact) for name, facts in entities.items() for fact in facts[:ASKED]]
        states = await lab.states([(capitalised(name), -1) for name, _ in cases], layers)
        targets = [lab.blank(statement(lab.world.relations[fact.relation])) for _, fact in cases]
        texts = await lab.grid(targets, states, list(range(depth)))
        hits = torch.tensor(
            [[[right(t, f) for t in row] for row in rows] for rows, (_, f) in zip(texts, cases, strict=True)]
        )
        share = hits.float().mean(0)
        lines[f"{group}, last token, l* = l"] = {layer: float(share[layer, layer]) for layer in range(depth)}
        lines[f"{group}, last token, l* = 0"] = {layer: float(share[layer, 0]) for layer in layers}
        if group == SEVERAL:
            same = list(range(depth))
            said = [
                await lab.span(
                    capitalised(name), capitalised(name), statement(lab.world.relations[fact.relation]), same, same
                )
                for name, fact in cases
            ]
            lines[f"{group}, all of them, l* = l"] = {
                layer: mean([right(texts[layer], fact) for texts, (_, fact) in zip(said, cases, strict=True)])
                for layer in same
            }
    counts = {group: sum(len(facts[:ASKED]) for facts in entities.values()) for group, entities in groups.items()}
    found = " ".join(_found(name, line) for name, line in lines.items() if name.endswith("l* = l"))
    picture = curves(
        "entity-resolution", "Facts of an entity that its state answers, by layer", lines, layers="source layer l"
    )
    where = Text(
        "With l* = l the state goes on from the layer where it was taken, as in the paper; with l* = 0 the whole model "
        "runs on it once more. Layer 0 is the embedding of the name's last token."
    )
    figures = {
        "lines": {name: as_json(line) for name, line in lines.items()},
        "facts": counts,
    }
    setting = ", ".join(f"{count} facts of entities with {group}" for group, count in counts.items()) + "."
    return figures, findings(
        EXPERIMENTS["entity-resolution"],
        lab,
        paper=PAPER,
        found=found,
        sections=[Section("By layer", [picture, curve_table(lines), where])],
        setting=setting,
    )


def _entities(lab: Lab) -> dict[str, dict[str, list[Fact]]]:
    """Entities with their facts, `count` of names of one token and of several each."""
    about: dict[str, list[Fact]] = {}
    for fact in lab.world:
        about.setdefault(fact.subject, []).append(fact)
    tokenizer = lab.host().loaded.tokenizer
    groups: dict[str, dict[str, list[Fact]]] = {ONE: {}, SEVERAL: {}}
    names = sorted(about)
    for name in sorted(lab.rng("entities").sample(names, len(names)), key=lambda name: -min(ASKED, len(about[name]))):
        group = groups[ONE if len(tokenizer.tokenize(f" {name}")) == 1 else SEVERAL]
        if len(group) < lab.count:
            group[name] = about[name]
    return {group: entities for group, entities in groups.items() if entities}


def _found(name: str, line: dict[int, float]) -> str:
    peak = max(line, key=lambda layer: line[layer])
    return (
        f"Names of {name.removesuffix(', l* = l')}: {line[0]:.1%} of the facts at layer 0, the most ({line[peak]:.1%}) "
        f"at layer {peak}, {line[max(line)]:.1%} at layer {max(line)}."
    )
