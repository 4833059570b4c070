"""Questions of three and four hops: two-hop chains that lead on, through any second hop of the world."""

from __future__ import annotations

import random
from collections.abc import Sequence

from eval.demo_world.corpus import capitalised, chain_clozes
from eval.demo_world.world import Chain, Fact, World
from eval.questions import GoldQuestion

LENGTHS = (3, 4)


def long_questions(world: World, chains: Sequence[Chain], count: int, seed: str) -> list[GoldQuestion]:
    """Up to `count` questions, half of each length where the world's facts lead that far."""
    rng = random.Random(seed)
    asked: list[GoldQuestion] = []
    for length in LENGTHS:
        wanted = count // len(LENGTHS)
        for chain in rng.sample(chains, len(chains)):
            facts = _led_on(world, [chain.hop1, chain.hop2], length, rng)
            if wanted and facts is not None:
                asked.append(_question(world, facts, rng, len(asked)))
                wanted -= 1
    return asked


def _led_on(world: World, facts: list[Fact], length: int, rng: random.Random) -> list[Fact] | None:
    """The facts with further ones, each about the object of the one before; None where they end too early."""
    relations = {second for _, second in world.two_hop_types}
    while len(facts) < length:
        last = facts[-1]
        kind, told = world.relations[last.relation].object, {fact.object for fact in facts}
        further = [
            fact
            for name in sorted(relations)
            if world.relations[name].subject == kind and (fact := world.facts[name].get(last.object)) is not None
        ]
        further = [fact for fact in further if fact.object not in told]
        if not further:
            return None
        facts = [*facts, rng.choice(further)]
    return facts


def _question(world: World, facts: Sequence[Fact], rng: random.Random, number: int) -> GoldQuestion:
    first, *middle, last = facts
    noun = rng.choice(world.relations[first.relation].nouns).format(first.subject)
    hops = [f"{capitalised(noun)} is"]
    for fact in middle:
        described = rng.choice(world.relations[fact.relation].nouns)
        hops.append(f"{capitalised(described)} is")
        noun = described.format(noun)
    asked = world.relations[last.relation]
    cloze = rng.choice(chain_clozes(asked))
    hops.append(capitalised(cloze))
    return GoldQuestion(
        id=f"{len(facts)}-hops-{number}",
        question=capitalised(rng.choice(asked.all_questions()).format(noun)),
        **{f"hop{place}": hop for place, hop in enumerate(hops, start=1)},
        bridge=first.object,
        bridge_aliases=first.aliases,
        answer=last.object,
        answer_aliases=last.aliases,
        direct=capitalised(cloze.format(noun)),
        type=f"{len(facts)} hops",
    )
