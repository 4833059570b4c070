"""Questions of a world, a wording each, in the question format."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from eval.demo_world.corpus import capitalised, chain_clozes
from eval.demo_world.world import Chain, Fact, World
from eval.questions import GoldQuestion


def as_question(chain: Chain, world: World, rng: random.Random, number: int) -> GoldQuestion:
    """A chain as a question: wordings drawn at random, the hops and the direct cloze from the same ones."""
    noun = rng.choice(world.relations[chain.hop1.relation].nouns).format(chain.hop1.subject)
    return worded(chain, world, rng, number, noun, f"{capitalised(noun)} is")


def worded(chain: Chain, world: World, rng: random.Random, number: int, noun: str, hop1: str) -> GoldQuestion:
    """A chain as a question with this noun phrase for the bridge and this hop 1; hop 2's wording drawn at random."""
    second = world.relations[chain.hop2.relation]
    asked = rng.choice(second.all_questions())
    hop2 = rng.choice(chain_clozes(second))
    return GoldQuestion(
        id=f"{chain.type}-{number}",
        question=capitalised(asked.format(noun)),
        hop1=hop1,
        hop2=capitalised(hop2),
        direct=capitalised(hop2.format(noun)),
        bridge=chain.hop1.object,
        bridge_aliases=chain.hop1.aliases,
        answer=chain.hop2.object,
        answer_aliases=chain.hop2.aliases,
        type=chain.type,
    )


def one_hop_question(fact: Fact, world: World, rng: random.Random, number: int) -> GoldQuestion:
    """A fact as a question without hops, in a wording drawn at random."""
    asked = rng.choice(world.relations[fact.relation].all_questions())
    return GoldQuestion(
        id=f"{fact.relation}-{number}",
        question=capitalised(asked.format(fact.subject)),
        answer=fact.object,
        answer_aliases=fact.aliases,
        type=fact.relation,
    )


def spread(chains: Sequence[Chain], count: int, rng: random.Random) -> list[Chain]:
    """`count` chains, spread evenly over the two-hop types and over as many bridges as there are."""
    by_type: dict[str, list[Chain]] = defaultdict(list)
    for chain in rng.sample(chains, len(chains)):
        by_type[chain.type].append(chain)
    chosen: list[Chain] = []
    asked: dict[str, int] = defaultdict(int)
    while len(chosen) < count and any(by_type.values()):
        for pool in by_type.values():
            if pool and len(chosen) < count:
                chain = min(pool, key=lambda chain: asked[chain.bridge])
                pool.remove(chain)
                asked[chain.bridge] += 1
                chosen.append(chain)
    return chosen


def questions_of(world: World, chains: Sequence[Chain], count: int, seed: str) -> list[GoldQuestion]:
    """`count` questions, spread evenly over the two-hop types and, within a type, over the bridges."""
    rng = random.Random(seed)
    return [as_question(chain, world, rng, number) for number, chain in enumerate(spread(chains, count, rng))]


def world_questions(world: World, name: str, count: int, seed: int = 0) -> list[GoldQuestion]:
    """A world's own questions of one set: train, unseen, calibration or test."""
    return questions_of(world, world.split_chains(seed)[name], count, f"questions {seed} {name}")


def demo_questions(name: str, count: int, seed: int = 0) -> list[GoldQuestion]:
    """The demo world's own questions of one set: train, unseen, calibration or test."""
    return world_questions(World.load(), name, count, seed)
