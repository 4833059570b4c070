"""Positions, prompts and mappings, one against the other, on two-hop questions; ends in guidelines.

Every combination has its pair of layers chosen on calibration questions and is scored on test questions, so that a
combination with more pairs to choose from is not better for that alone.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from correction.prompts import as_prompt
from eval.demo_world.corpus import capitalised, chain_clozes
from eval.demo_world.world import Chain
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import findings, percent
from eval.experiments.lab import Lab, Site, best_of, mean, statement
from eval.reports.document import Document, Section, Table, Text
from eval.scoring import exact_match
from eval.statistics import bootstrap_interval

POSITIONS = ("last token of hop 1", "subject's last token")
SOURCES = ("statement", "question", "noun phrase")
TARGETS = ("statement", "question", "other wording")
MAPPINGS = ("identity", "norm_matched", "vocabulary", "hard_token")
HEIGHTS = ("l* = 0", "l* >= 1")
FACTORS = ("source position", "source prompt", "target prompt", "mapping", "target layer")
PAPER = (
    "It fixes the last position and one prompt a task, and varies layers only; how to choose positions, prompts and "
    "mappings it leaves to the user."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """All combinations of the factors."""
    split = lab.world.split_chains()
    rng = lab.rng("ablation")
    parts = {name: rng.sample(split[name], min(lab.count, len(split[name]))) for name in ("calibration", "test")}
    results: dict[tuple[str, ...], list[bool]] = {}
    for position, source, target, mapping in product(POSITIONS, SOURCES, TARGETS, MAPPINGS):
        lab.say(f"{position}, {source}, {target}, {mapping}")
        hits = {name: await _hits(lab, chains, position, source, target, mapping) for name, chains in parts.items()}
        for height in HEIGHTS:
            columns = [0] if height == HEIGHTS[0] else list(range(1, lab.depth()))
            if not columns:
                continue
            shares = {
                (n, t): float(hits["calibration"][:, n, t].float().mean()) for n in range(lab.depth()) for t in columns
            }
            n, t = best_of(shares)
            results[position, source, target, mapping, height] = hits["test"][:, n, t].tolist()
    bridges = [chain.bridge for chain in parts["test"]]
    shares_of = {combination: mean(right) for combination, right in results.items()}
    best = max(shares_of, key=lambda combination: shares_of[combination])
    levels = _levels(shares_of)
    low, high = bootstrap_interval([float(hit) for hit in results[best]], bridges)
    found = (
        f"Of {len(shares_of)} combinations the best is {', '.join(best)}: {shares_of[best]:.1%} of {len(bridges)} test "
        f"questions ({low:.1%} to {high:.1%}). What decides most, best combination with the best and with the worst "
        f"level of each factor: {'; '.join(f'{factor}: {_range(levels[factor])}' for factor in _by_weight(levels))}."
    )
    ranked = sorted(shares_of, key=lambda combination: -shares_of[combination])[:12]
    sections = [
        Section(
            "Each factor's levels",
            [Table(["factor", "level", "best combination with it", "mean of all"], _level_rows(levels))],
        ),
        Section(
            "The best combinations",
            [Table([*FACTORS, "right"], [[*combination, percent(shares_of[combination])] for combination in ranked])],
        ),
        Section("Guidelines for a configuration", [Text(_guidelines(levels, shares_of, best))]),
    ]
    figures = {
        "combinations": [{**dict(zip(FACTORS, c, strict=True)), "right": share} for c, share in shares_of.items()],
        "n": len(bridges),
    }
    setting = f"{len(parts['calibration'])} calibration and {len(bridges)} test questions."
    return figures, findings(EXPERIMENTS["ablation"], lab, paper=PAPER, found=found, sections=sections, setting=setting)


async def _hits(lab: Lab, chains: list[Chain], position: str, source: str, target: str, mapping: str) -> torch.Tensor:
    """Right or not, (chains, source layers 1..L, target layers 0..L-1)."""
    depth = lab.depth()
    states = await lab.states([_source(lab, chain, source, position) for chain in chains], range(1, depth + 1))
    targets = [lab.blank(_target(lab, chain, target)) for chain in chains]
    said = await lab.grid(targets, states, range(depth), lab.inspector.mapping(mapping, None, None))
    names = [(chain.hop2.object, *chain.hop2.aliases) for chain in chains]
    return torch.tensor(
        [[[exact_match(t, accepted) for t in row] for row in rows] for rows, accepted in zip(said, names, strict=True)]
    )


def _source(lab: Lab, chain: Chain, source: str, position: str) -> Site:
    relation = lab.world.relations[chain.hop1.relation]
    noun = relation.nouns[0].format(chain.hop1.subject)
    text = {
        "statement": capitalised(f"{noun} is"),
        "question": as_prompt(capitalised(f"{relation.asks} is {noun}?")),
        "noun phrase": capitalised(noun),
    }[source]
    return text, -1 if position == POSITIONS[0] else chain.hop1.subject


def _target(lab: Lab, chain: Chain, target: str) -> str:
    relation = lab.world.relations[chain.hop2.relation]
    if target == "question":
        return capitalised(relation.all_questions()[0])
    return statement(relation) if target == "statement" else capitalised(chain_clozes(relation)[-1])


def _levels(shares: dict[tuple[str, ...], float]) -> dict[str, dict[str, tuple[float, float]]]:
    """factor -> level -> (best combination with it, mean of all with it)."""
    levels: dict[str, dict[str, tuple[float, float]]] = {}
    for number, factor in enumerate(FACTORS):
        for level in dict.fromkeys(combination[number] for combination in shares):
            given = [share for combination, share in shares.items() if combination[number] == level]
            levels.setdefault(factor, {})[level] = (max(given), mean(given))
    return levels


def _level_rows(levels: dict[str, dict[str, tuple[float, float]]]) -> list[list[str]]:
    return [
        [factor, level, percent(best), percent(average)]
        for factor, of in levels.items()
        for level, (best, average) in of.items()
    ]


def _by_weight(levels: dict[str, dict[str, tuple[float, float]]]) -> list[str]:
    """The factors, the one first whose worst level costs most."""

    def weight(factor: str) -> float:
        best = [share for share, _ in levels[factor].values()]
        return max(best) - min(best)

    return sorted(levels, key=lambda factor: -weight(factor))


def _range(levels: dict[str, tuple[float, float]]) -> str:
    best = {level: share for level, (share, _) in levels.items()}
    top, least = (choose(best, key=lambda level: best[level]) for choose in (max, min))
    return f"{top} {best[top]:.1%}, {least} {best[least]:.1%}"


def _guidelines(
    levels: dict[str, dict[str, tuple[float, float]]], shares: dict[tuple[str, ...], float], best: tuple[str, ...]
) -> str:
    """What to choose, with what the other choices cost when all else is at its best."""
    lines = []
    for number, factor in enumerate(FACTORS):
        others = {
            level: max(s for c, s in shares.items() if c[number] == level)
            for level in levels[factor]
            if level != best[number]
        }
        cost = "; ".join(f"{level} {100 * (share - shares[best]):+.1f} points" for level, share in others.items())
        lines.append(f"- **{factor}**: {best[number]}. The best combination with another: {cost}.")
    lines.append(
        "- **pair of layers**: chosen on calibration questions for the very combination that is used, as it was here."
    )
    return "\n".join(lines)
