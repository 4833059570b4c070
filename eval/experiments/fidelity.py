"""Semantic fidelity: does a reading tell what the model holds, or what the reading prompt would say anyway?

The world is known, so what is true is known; what the model believes is what it says itself. Facts that it was told,
facts that it was told in several ways, and facts that it was never told are asked of its states, layer by layer. A
faithful reading follows the model where the model is wrong, too, and does not fall back on what its prompt says alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from correction.passes import Pass, Sampling
from correction.prompts import as_prompt
from eval.demo_world.corpus import capitalised
from eval.demo_world.invented import invented_facts
from eval.demo_world.world import Disputed, Fact
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, curve_table, curves, findings, percent
from eval.experiments.lab import Lab, Site, mean, statement
from eval.reports.document import Document, Section, Table, Text
from eval.scoring import exact_match, normalise

READERS = {"vocabulary to 0": ("vocabulary", 0), "identity to 1": ("identity", 1)}
NEVER = "never told"
LIKELIEST = 20  # first tokens among which a candidate is looked for
TERMS = (
    "true: the reading is right about the true bridge. faithful: it says what the model says when the bridge that it "
    "believes in is written as text. habit: what the prompt says with its placeholder untouched. Bridges are those "
    "that the model believes in and says in one token: one state says no more."
)
PAPER = (
    "It measures agreement with the model's next token and with attributes, and leaves open whether a reading in words "
    "is faithful to what the model computes. Later work (Faithful-Patchscopes) finds that readings lean on what the "
    "reading model thinks likely anyway."
)
Case = tuple[Fact, str]  # a fact that leads to a bridge, and a relation that is asked of it


@dataclass(frozen=True)
class Asked:
    """Cases with everything that a reading is compared with; the lists are in their order."""

    prompts: list[str]
    targets: list[Site]
    true: list[str]
    held: list[str]
    habit: list[str]


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Hop 1's last state, asked one fact about the bridge; compared with truth, belief, and the prompt's own habit."""
    layers = list(range(1, lab.depth() + 1))
    last = layers[-1]
    figures: dict[str, Any] = {}
    lines: dict[str, dict[int, float]] = {}
    rows = []
    for group, cases in _groups(lab).items():
        lab.say(group)
        asked = await _asked(lab, cases)
        if not asked.prompts:
            continue
        states = await lab.states([(prompt, -1) for prompt in asked.prompts], layers)
        itself = mean([_same(held, true) for held, true in zip(asked.held, asked.true, strict=True)])
        for reader, (mapping, target_layer) in READERS.items():
            said = await lab.grid(asked.targets, states, [target_layer], lab.inspector.mapping(mapping, None, None))
            read = {layer: [of_case[n][0] for of_case in said] for n, layer in enumerate(layers)}
            faithful, true = (_agreement(read, meant) for meant in (asked.held, asked.true))
            astray = [_habit(texts, asked) for texts in read.values()]
            name = f"{group}, {reader}"
            lines[name] = faithful
            shares = (true[last], itself, faithful[last], astray[-1])
            rows.append([group, reader, str(len(asked.prompts)), *(percent(share) or "none" for share in shares)])
            figures[name] = {
                "n": len(asked.prompts),
                "faithful": as_json(faithful),
                "true": as_json(true),
                "habit_of_the_unfaithful": dict(zip(map(str, layers), astray, strict=True)),
            }
    figures["shares"] = spread = await _spread(lab)
    sections = [
        Section(
            "Readings of the last layer",
            [
                Table(["facts", "reading", "n", "true", "model itself true", "faithful", "habit, of the others"], rows),
                Text(TERMS),
            ],
        ),
        Section(
            "Faithful readings by source layer",
            [curves("fidelity", "Readings that say what the model holds", lines), curve_table(lines)],
        ),
    ]
    found = _found({name: line[last] for name, line in lines.items()}, spread)
    return figures, findings(EXPERIMENTS["fidelity"], lab, paper=PAPER, found=found, sections=sections)


def _groups(lab: Lab) -> dict[str, list[Case]]:
    """Facts that lead to a bridge, each with the relations that can be asked of it, in an order of chance."""
    second: dict[str, list[str]] = {}
    for first, then in lab.world.two_hop_types:
        second.setdefault(first, []).append(then)
    rng = lab.rng("fidelity")

    def some(facts: Sequence[Fact]) -> list[Case]:
        known = [(fact, relation) for fact in facts for relation in second.get(fact.relation, ())]
        return rng.sample(known, min(3 * lab.count, len(known)))

    disputed = [Fact(told.relation, told.subject, _truth(told)) for told in lab.world.disputed]
    hidden = list(lab.world.unknown) or invented_facts(lab.world, lab.seed)
    return {"told": some(list(lab.world)), "told in several ways": some(disputed), NEVER: some(hidden)}


async def _asked(lab: Lab, cases: Sequence[Case]) -> Asked:
    """The cases whose bridge, as the model believes, is one token."""
    believed = await lab.says([_prompt(lab, fact.relation, fact.subject) for fact, _ in cases])
    tokenizer = lab.host().loaded.tokenizer
    kept = [
        (fact, relation, bridge)
        for (fact, relation), bridge in zip(cases, believed, strict=True)
        if len(tokenizer.tokenize(f" {bridge}")) == 1
    ][: lab.count]
    clozes = [statement(lab.world.relations[relation]) for _, relation, _ in kept]
    targets = [lab.blank(cloze) for cloze in clozes]
    told = [lab.world.facts[relation].get(fact.object) for fact, relation, _ in kept]
    return Asked(
        [_prompt(lab, fact.relation, fact.subject) for fact, _, _ in kept],
        targets,
        [fact.object if fact else "" for fact in told],
        await lab.says([as_prompt(c.replace("{}", bridge)) for c, (_, _, bridge) in zip(clozes, kept, strict=True)]),
        await lab.says([text for text, _ in targets]),
    )


def _prompt(lab: Lab, relation: str, subject: str) -> str:
    return capitalised(f"{lab.world.relations[relation].nouns[0].format(subject)} is")


def _truth(told: Disputed) -> str:
    return next(candidate.object for candidate in told.candidates if candidate.true)


def _agreement(read: dict[int, list[str]], meant: Sequence[str]) -> dict[int, float]:
    return {layer: mean([_same(t, m) for t, m in zip(texts, meant, strict=True)]) for layer, texts in read.items()}


def _habit(texts: Sequence[str], asked: Asked) -> float | None:
    """Of the readings that are not faithful, the share that are what the prompt says alone; None if all are."""
    given = zip(texts, asked.held, asked.habit, strict=True)
    astray = [_same(text, habit) for text, held, habit in given if not _same(text, held)]
    return mean(astray) if astray else None


def _same(text: str, other: str) -> bool:
    return bool(other) and exact_match(text, (other,))


async def _spread(lab: Lab) -> dict[str, Any]:
    """How far the distribution over one-token candidates is from the shares they were told with (total variation)."""
    host = lab.host()
    tokenizer = host.loaded.tokenizer
    told = [d for d in lab.world.disputed if all(len(tokenizer.tokenize(f" {c.object}")) == 1 for c in d.candidates)]
    passes = [
        Pass(tuple(tokenizer(_prompt(lab, d.relation, d.subject))["input_ids"]), sampling=Sampling(1, LIKELIEST))
        for d in told
    ]
    results = await asyncio.gather(*(host.engine.run(request) for request in passes))
    distances = []
    for disputed, result in zip(told, results, strict=True):
        given = {normalise(a.text): a.probability for a in result.alternatives}
        found = [given.get(normalise(c.object), 0.0) for c in disputed.candidates]
        total = sum(found) or 1.0
        distances.append(sum(abs(p / total - c.share) for p, c in zip(found, disputed.candidates, strict=True)) / 2)
    return {"n": len(told), "distance": mean(distances)} if told else {}


def _found(faithful: dict[str, float], spread: dict[str, Any]) -> str:
    best, worst = (choose(faithful, key=lambda name: faithful[name]) for choose in (max, min))
    said = (
        "From the last layer, readings say what the model itself would say of the bridge it believes in, in "
        f"{faithful[worst]:.1%} ({worst}) to {faithful[best]:.1%} ({best}) of the cases. "
    )
    if made_up := {name.removeprefix(f"{NEVER}, "): s for name, s in faithful.items() if name.startswith(NEVER)}:
        followed = ", ".join(f"{share:.1%} ({reader})" for reader, share in made_up.items())
        said += f"Where the model was never told the fact and makes a bridge up, a reading follows it in {followed}. "
    if spread:
        said += (
            f"Of disputed facts the state's distribution over the candidates is {spread['distance']:.3f} (total "
            f"variation) from the shares they were told with, n = {spread['n']}."
        )
    return said.strip()
