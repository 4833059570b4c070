"""Facts that no model can know: subjects that do not exist, each with an object drawn at random."""

from __future__ import annotations

import random
from collections import Counter

from eval.demo_world.names import Names
from eval.demo_world.world import Fact, World

EACH = 45  # for a first-hop relation
COMMON = 8  # a word of this many names ("National", "Museum", "of") tells nothing about one of them


def invented_facts(world: World, seed: int = 0) -> list[Fact]:
    """Hop 1 of invented subjects, for every first-hop relation.

    A name keeps the shape of a known one and its common words; every other word is new. (Names joined from halves of
    two known ones were tried first: "Alice Battambang" is rightly placed in Cambodia.)
    """
    facts: list[Fact] = []
    for relation in dict.fromkeys(first for first, _ in world.two_hop_types):
        rng = random.Random(f"invented {seed} {relation}")
        names = Names(rng)
        known = [fact.subject for fact in world.facts[relation].values()]
        words = Counter(word for name in known for word in set(name.split()))
        objects = sorted({fact.object for fact in world.facts[relation].values()})
        telling = [name for name in known if any(words[word] < COMMON for word in name.split())]
        for name in rng.sample(telling, EACH):
            subject = " ".join(w if words[w] >= COMMON else names.word().capitalize() for w in name.split())
            facts.append(Fact(relation, subject, rng.choice(objects)))
    return facts
