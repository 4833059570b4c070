"""Worlds drawn from a seed: invented names, relations, wordings and facts, so that evidence can be repeated.

Beside facts that are told as they are, a generated world has what the true one lacks. *Disputed* facts are told with
several objects, so that hop 1 stays uncertain however long a model is trained. *Unknown* facts are drawn like all
others and told nowhere. Bridges come in regions that share the values of some relations, as the countries of a region
share a language: where sources disagree on a bridge, they may still agree on what is asked about it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from eval.demo_world.names import Names
from eval.demo_world.relations import Relation
from eval.demo_world.wordings import KINDS, Wordings
from eval.demo_world.world import Candidate, Disputed, Fact, World


@dataclass(frozen=True)
class Size:
    """How many of each; counts of subjects are for each of the four kinds of subjects."""

    bridges: tuple[int, int]  # of one-token names, of several-token names
    subjects: int
    conflicts: int
    unknown: int
    ambiguous: int
    withheld: int


SIZES = {
    "small": Size((140, 160), 150, conflicts=56, unknown=44, ambiguous=72, withheld=80),
    "tiny": Size((24, 24), 24, conflicts=5, unknown=4, ambiguous=6, withheld=8),
}
REGION = 6  # bridges
SHARED_VALUES = (8, 20)  # of a relation that regions share
NEARLY_ALONE = 0.95  # bridges with a value of their own, in the other relations
CONFLICT_SHARES = ((0.45, 0.30, 0.25), (0.50, 0.27, 0.23), (0.42, 0.31, 0.27))
AMBIGUOUS_SHARES = ((0.5, 0.5), (0.55, 0.45), (0.45, 0.55))
NEIGHBOURS = 0.75  # conflicts whose two minor candidates are of one region
# Of each bridge kind's second hops, whether the values are shared by regions.
SECOND_HOPS = ((False, True, False, True), (True, False, True))


@dataclass(frozen=True)
class _Kind:
    """A kind of bridge: its entities in regions, and the relations that lead to it and from it."""

    name: str
    regions: list[list[str]]
    firsts: list[Relation] = field(default_factory=list)
    seconds: list[Relation] = field(default_factory=list)

    @property
    def entities(self) -> list[str]:
        return [entity for region in self.regions for entity in region]


def generate(seed: int, size: str = "small") -> World:
    """The world of this seed, about 1,600 facts if small, 250 if tiny; the same every time."""
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}: choose one of {', '.join(SIZES)}")
    drawing = _Drawing(SIZES[size], random.Random(f"world {size} {seed}"))
    return drawing.world(f"generated, {size}, seed {seed}")


class _Drawing:
    """One generator's draws, in a fixed order, gathered by what the world does with them."""

    def __init__(self, size: Size, rng: random.Random) -> None:
        self.size = size
        self.rng = rng
        self.names = Names(rng)
        self.wordings = Wordings(rng, self.names.word)
        self.kind_names = rng.sample(KINDS, len(KINDS))
        self.one_token_kinds: list[str] = []
        self.facts: list[Fact] = []
        self.disputed: list[Disputed] = []
        self.unknown: list[Fact] = []

    def world(self, name: str) -> World:
        """Draws everything."""
        kinds = [
            self.kind(self.names.single(self.size.bridges[0]), SECOND_HOPS[0]),
            self.kind(self.names.double(self.size.bridges[1]), SECOND_HOPS[1]),
        ]
        vague = self.wordings.vague("vague_subject", [kind.name for kind in kinds])
        subjects = _named(self.names, self.rng, self.size.ambiguous)
        self.disputed += [_ambiguous(vague, subject, kinds, self.rng) for subject in subjects]
        second = {relation.name for kind in kinds for relation in kind.seconds}
        withheld = self.rng.sample([fact for fact in self.facts if fact.relation in second], self.size.withheld)
        relations = [relation for kind in kinds for relation in (*kind.firsts, *kind.seconds)]
        return World(
            [fact for fact in self.facts if fact not in set(withheld)],
            name=name,
            relations={relation.name: relation for relation in (*relations, vague)},
            two_hop_types=[(one.name, two.name) for kind in kinds for one in kind.firsts for two in kind.seconds],
            one_token_kinds=[kinds[0].name, *self.one_token_kinds],
            disputed=self.disputed,
            unknown=[*self.unknown, *withheld],
        )

    def kind(self, entities: list[str], second_hops: Sequence[bool]) -> _Kind:
        """A kind of bridge with the facts from it, and those of two kinds of subjects that lead to it."""
        regions = [entities[start : start + REGION] for start in range(0, len(entities), REGION)]
        kind = _Kind(self.kind_names.pop(), regions)
        for position, shared in enumerate(second_hops):
            value = f"{kind.name}_value_{position}"
            relation = self.wordings.second(kind.name, value)
            kind.seconds.append(relation)
            self.facts += (_shared if shared else _alone)(relation, kind, self.names, self.rng)
            if self.rng.random() < 0.5:
                self.one_token_kinds.append(value)
        for position in range(2):
            relation = self.wordings.first(f"{kind.name}_subject_{position}", kind.name)
            kind.firsts.append(relation)
            self.lead(relation, kind)
        return kind

    def lead(self, relation: Relation, kind: _Kind) -> None:
        """Facts, conflicts and unknown facts about one kind of subjects, their names drawn together."""
        counts = self.size.subjects, self.size.conflicts, self.size.unknown
        subjects = iter(_named(self.names, self.rng, sum(counts)))
        told, quarrelled, hidden = (list(islice(subjects, count)) for count in counts)
        self.facts += _leading(relation, told, kind, self.rng)
        self.disputed += [_conflict(relation, subject, kind, self.rng) for subject in quarrelled]
        self.unknown += [Fact(relation.name, subject, self.rng.choice(kind.entities)) for subject in hidden]


def _named(names: Names, rng: random.Random, count: int) -> list[str]:
    """Names of a kind of subjects: all of one word, or all of two."""
    return names.single(count) if rng.random() < 0.5 else names.double(count)


def _leading(relation: Relation, subjects: Sequence[str], kind: _Kind, rng: random.Random) -> list[Fact]:
    """Facts whose objects are bridges, each bridge about as often as the others."""
    entities = kind.entities
    objects: list[str] = []
    while len(objects) < len(subjects):
        objects += rng.sample(entities, len(entities))
    return [Fact(relation.name, subject, object_) for subject, object_ in zip(subjects, objects, strict=False)]


def _shared(relation: Relation, kind: _Kind, names: Names, rng: random.Random) -> list[Fact]:
    """A value a region, of a few values in all."""
    values = names.single(min(rng.randint(*SHARED_VALUES), len(kind.regions)))
    return [
        Fact(relation.name, entity, value)
        for region in kind.regions
        for value in [rng.choice(values)]
        for entity in region
    ]


def _alone(relation: Relation, kind: _Kind, names: Names, rng: random.Random) -> list[Fact]:
    """A value of its own for nearly every bridge."""
    values = _named(names, rng, len(kind.entities))
    return [
        Fact(relation.name, entity, value if rng.random() < NEARLY_ALONE else rng.choice(values))
        for entity, value in zip(kind.entities, values, strict=True)
    ]


def _conflict(relation: Relation, subject: str, kind: _Kind, rng: random.Random) -> Disputed:
    """Three bridges that sources disagree on, the two minor ones often neighbours.

    The true one is drawn once, with exactly the shares as probabilities: nothing is arranged so that one way of
    deciding between them comes out right, neither believing the majority nor weighing the answers.
    """
    major = rng.choice(kind.entities)
    others = [entity for entity in kind.entities if entity != major]
    minor = rng.sample(others, 2)
    if rng.random() < NEIGHBOURS:
        regions = [[entity for entity in region if entity != major] for region in kind.regions]
        minor = rng.sample(rng.choice([region for region in regions if len(region) >= 2]), 2)
    shares = rng.choice(CONFLICT_SHARES)
    (true,) = rng.choices(range(3), shares)
    return Disputed(
        relation.name,
        subject,
        tuple(
            Candidate(kind.name, entity, share, number == true)
            for number, (entity, share) in enumerate(zip((major, *minor), shares, strict=True))
        ),
    )


def _ambiguous(relation: Relation, subject: str, kinds: Sequence[_Kind], rng: random.Random) -> Disputed:
    """A bridge of each kind, either of which answers: only what is asked about it tells which is meant."""
    shares = rng.choice(AMBIGUOUS_SHARES)
    return Disputed(
        relation.name,
        subject,
        tuple(
            Candidate(kind.name, rng.choice(kind.entities), share, True)
            for kind, share in zip(kinds, shares, strict=True)
        ),
    )
