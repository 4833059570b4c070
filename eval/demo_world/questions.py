"""Two-hop questions of the demo world, a wording each, in the question format."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from eval.demo_world.corpus import capitalised, chain_clozes
from eval.demo_world.relations import RELATIONS
from eval.demo_world.world import Chain, World
from eval.questions import GoldQuestion


def as_question(chain: Chain, rng: random.Random, number: int) -> GoldQuestion:
    """A chain as a question: wordings drawn at random, the hops and the direct cloze from the same ones."""
    first, second = RELATIONS[chain.hop1.relation], RELATIONS[chain.hop2.relation]
    noun = rng.choice(first.nouns).format(chain.hop1.subject)
    asked = rng.choice(second.all_questions())
    hop2 = rng.choice(chain_clozes(second))
    return GoldQuestion(
        id=f"{chain.type}-{number}",
        question=capitalised(asked.format(noun)),
        hop1=f"{capitalised(noun)} is",
        hop2=capitalised(hop2),
        direct=capitalised(hop2.format(noun)),
        bridge=chain.hop1.object,
        bridge_aliases=chain.hop1.aliases,
        answer=chain.hop2.object,
        answer_aliases=chain.hop2.aliases,
        type=chain.type,
    )


def questions_of(chains: Sequence[Chain], count: int, seed: str) -> list[GoldQuestion]:
    """`count` questions, spread evenly over the two-hop types and, within a type, over the bridges."""
    rng = random.Random(seed)
    by_type: dict[str, list[Chain]] = defaultdict(list)
    for chain in rng.sample(chains, len(chains)):
        by_type[chain.type].append(chain)
    for pool in by_type.values():
        seen: dict[str, int] = defaultdict(int)
        order = []
        for chain in pool:
            order.append((seen[chain.bridge], chain))
            seen[chain.bridge] += 1
        pool[:] = [chain for _, chain in sorted(order, key=lambda entry: -entry[0])]
    chosen: list[Chain] = []
    while len(chosen) < count and any(by_type.values()):
        for pool in by_type.values():
            if pool and len(chosen) < count:
                chosen.append(pool.pop())
    return [as_question(chain, rng, number) for number, chain in enumerate(chosen)]


def demo_questions(name: str, count: int, seed: int = 0) -> list[GoldQuestion]:
    """The demo world's own questions of one set: train, unseen, calibration or test."""
    return questions_of(World.load().split_chains(seed)[name], count, f"questions {seed} {name}")
