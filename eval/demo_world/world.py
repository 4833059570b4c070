"""A world: facts of known relations, the two-hop chains they form, and how the bridges are split.

Three disjoint sets of bridge entities: *train* (their two-hop sentences are trained), *calibration* (choices are made
on them) and *test* (read once, by the report). Every single-hop fact is trained. Of the train bridges' chains some are
held out too (`unseen`): combinations whose halves were both trained in two-hop sentences, but never together.

The demo world holds true facts; `eval.demo_world.generated` draws worlds of invented ones. Those have two more sorts:
*disputed* facts, told with several objects and never part of a trained chain, and *unknown* ones, told nowhere.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256

from eval.demo_world.relations import RELATIONS, TWO_HOP_TYPES, Relation
from eval.demo_world.statements import Candidate, Chain, Disputed, Fact
from eval.demo_world.tables import true_facts

__all__ = ["Candidate", "Chain", "Disputed", "Fact", "World"]

SPLITS = {"train": 0.45, "calibration": 0.2, "test": 0.35}
UNSEEN_SHARE = 0.12
MIN_FIRST, MIN_SECOND = 3, 5  # trained combinations that each half of a held-out one keeps
ONE_TOKEN_KINDS = ("country", "company")


class World:
    """Facts by relation and subject. `facts["country_capital"]["France"].object == "Paris"`."""

    def __init__(
        self,
        facts: Iterable[Fact],
        *,
        name: str = "true",
        relations: Mapping[str, Relation] = RELATIONS,
        two_hop_types: Sequence[tuple[str, str]] = TWO_HOP_TYPES,
        one_token_kinds: Sequence[str] = ONE_TOKEN_KINDS,
        disputed: Sequence[Disputed] = (),
        unknown: Sequence[Fact] = (),
    ) -> None:
        self.name = name
        self.relations = dict(relations)
        self.two_hop_types = tuple(two_hop_types)
        self.one_token_kinds = tuple(one_token_kinds)
        self.disputed = tuple(disputed)
        self.unknown = tuple(unknown)
        self.facts: dict[str, dict[str, Fact]] = defaultdict(dict)
        for fact in facts:
            known = self.facts[fact.relation].setdefault(fact.subject, fact)
            if known.object != fact.object:
                raise ValueError(
                    f"{fact.relation}: {fact.subject} has two objects, {known.object} and {fact.object}; "
                    "keep one, or drop the subject"
                )
        others = [(told.relation, told.subject) for told in self.disputed]
        others += [(told.relation, told.subject) for told in self.unknown]
        for relation, subject in others:
            if subject in self.facts.get(relation, {}):
                raise ValueError(f"{relation}: {subject} is both a fact and a disputed or unknown one")

    @classmethod
    def load(cls) -> World:
        """The true world, of this package's tables."""
        return cls(true_facts())

    def __iter__(self) -> Iterator[Fact]:
        for table in self.facts.values():
            yield from table.values()

    @property
    def identity(self) -> str:
        """The name, and a hash of all that a model of this world is trained on."""
        content = repr((list(self), self.disputed, self.relations, self.two_hop_types, self.one_token_kinds))
        return f"{self.name} ({sha256(content.encode()).hexdigest()[:12]})"

    def objects(self, kind: str) -> list[str]:
        """All entities of a kind that appear as an object, sorted."""
        return sorted({fact.object for fact in self if self.relations[fact.relation].object == kind})

    @cached_property
    def chains(self) -> list[Chain]:
        """All two-hop chains of facts whose answer is not given away by the question's own words."""
        return _asked(
            Chain(hop1, hop2, self.relations[r2].subject)
            for r1, r2 in self.two_hop_types
            for hop1 in self.facts[r1].values()
            if (hop2 := self.facts[r2].get(hop1.object)) is not None
        )

    @cached_property
    def disputed_chains(self) -> list[Chain]:
        """Chains whose hop 1 is disputed, through each of its true objects."""
        seconds = list(dict.fromkeys(r2 for _, r2 in self.two_hop_types))
        return _asked(
            Chain(Fact(told.relation, told.subject, candidate.object), hop2, candidate.kind)
            for told in self.disputed
            for candidate in told.candidates
            for r2 in seconds
            if candidate.true
            and self.relations[r2].subject == candidate.kind
            and (hop2 := self.facts[r2].get(candidate.object)) is not None
        )

    def unknown_chains(self, unknown: Iterable[Fact]) -> list[Chain]:
        """Chains of a known and an unknown fact, whichever comes first."""
        told: dict[str, list[Fact]] = defaultdict(list)
        for fact in unknown:
            told[fact.relation].append(fact)
        chains = []
        for r1, r2 in self.two_hop_types:
            kind = self.relations[r2].subject
            chains += [Chain(one, two, kind) for one in told[r1] if (two := self.facts[r2].get(one.object)) is not None]
            withheld = {fact.subject: fact for fact in told[r2]}
            chains += [
                Chain(one, withheld[one.object], kind) for one in self.facts[r1].values() if one.object in withheld
            ]
        return _asked(chains)

    def split_bridges(self, seed: int = 0) -> dict[tuple[str, str], str]:
        """Bridge -> "train", "calibration" or "test": the same shares of every kind of bridge."""
        by_kind: dict[str, set[str]] = defaultdict(set)
        for chain in self.chains:
            kind, name = chain.bridge_key
            by_kind[kind].add(name)
        split: dict[tuple[str, str], str] = {}
        for kind, names in sorted(by_kind.items()):
            order = sorted(names)
            random.Random(f"bridges {seed} {kind}").shuffle(order)
            start = 0.0
            for name, share in SPLITS.items():
                for entity in order[round(start * len(order)) : round((start + share) * len(order))]:
                    split[kind, entity] = name
                start += share
        return split

    def split_chains(self, seed: int = 0) -> dict[str, list[Chain]]:
        """Chains by set: train, unseen (held-out combinations of train bridges), calibration, test."""
        bridges = self.split_bridges(seed)
        sets: dict[str, list[Chain]] = {name: [] for name in (*SPLITS, "unseen")}
        for chain in self.chains:
            sets[bridges[chain.bridge_key]].append(chain)
        rng = random.Random(f"unseen {seed}")
        train, unseen = sets["train"], set[Chain]()
        first, second = defaultdict[Fact, int](int), defaultdict[Fact, int](int)
        for chain in train:
            first[chain.hop1] += 1
            second[chain.hop2] += 1
        for chain in rng.sample(train, len(train)):
            if len(unseen) >= UNSEEN_SHARE * len(train):
                break
            # Both halves must stay well trained in other combinations, else it would be a test of something else.
            if first[chain.hop1] > MIN_FIRST and second[chain.hop2] > MIN_SECOND:
                unseen.add(chain)
                first[chain.hop1] -= 1
                second[chain.hop2] -= 1
        sets["unseen"] = [chain for chain in train if chain in unseen]
        sets["train"] = [chain for chain in train if chain not in unseen]
        return sets


def _asked(chains: Iterable[Chain]) -> list[Chain]:
    return [chain for chain in chains if not chain.gives_away]
