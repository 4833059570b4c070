"""The demo world: true facts, the two-hop chains they form, and how the bridges are split.

Three disjoint sets of bridge entities: *train* (their two-hop sentences are trained), *calibration* (choices are made
on them) and *test* (read once, by the report). Every single-hop fact is trained. Of the train bridges' chains some are
held out too (`unseen`): combinations whose halves were both trained in two-hop sentences, but never together.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

from eval.demo_world.relations import RELATIONS, TWO_HOP_TYPES

SNAPSHOT = "mid 2024"
SPLITS = {"train": 0.45, "calibration": 0.2, "test": 0.35}
UNSEEN_SHARE = 0.12
MIN_FIRST, MIN_SECOND = 3, 5  # trained combinations that each half of a held-out one keeps

# Every city fact is one relation, kept in two files by what the cities are there for.
_FILES = {"city_country": ("city_country", "city_of_company_country")}
# person, city, country, year. Of people who created nothing in these tables, only the city is asked (and its country).
_BIRTHS = {"births_authors": 3, "births_artists": 3, "births_people": 1}
_BIRTH_RELATIONS = ("person_birthplace", "person_birth_country", "person_birth_year")


@dataclass(frozen=True)
class Fact:
    """`subject` stands in `relation` to `object`; aliases are other accepted names of the object."""

    relation: str
    subject: str
    object: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """Two facts that meet: hop 1's object is hop 2's subject, the bridge."""

    hop1: Fact
    hop2: Fact

    @property
    def type(self) -> str:
        return f"{self.hop1.relation}+{self.hop2.relation}"

    @property
    def bridge(self) -> str:
        return self.hop1.object

    @property
    def bridge_key(self) -> tuple[str, str]:
        """Kind and name: New York the city is not New York the state."""
        return RELATIONS[self.hop1.relation].object, self.bridge


class World:
    """Facts by relation and subject. `facts["country_capital"]["France"].object == "Paris"`."""

    def __init__(self, facts: list[Fact]) -> None:
        self.facts: dict[str, dict[str, Fact]] = defaultdict(dict)
        for fact in facts:
            known = self.facts[fact.relation].setdefault(fact.subject, fact)
            if known.object != fact.object:
                raise ValueError(
                    f"{fact.relation}: {fact.subject} has two objects, {known.object} and {fact.object}; "
                    "keep one, or drop the subject"
                )

    @classmethod
    def load(cls) -> World:
        """The world of this package's tables."""
        folder = resources.files("eval.demo_world") / "facts"
        facts: list[Fact] = []
        for relation in RELATIONS:
            if relation not in _BIRTH_RELATIONS:
                for name in _FILES.get(relation, (relation,)):
                    facts.extend(_read_facts(relation, folder / f"{name}.tsv"))
        for name, asked in _BIRTHS.items():
            facts.extend(_read_births(folder / f"{name}.tsv", _BIRTH_RELATIONS[:asked]))
        return cls(facts)

    def __iter__(self) -> Iterator[Fact]:
        for table in self.facts.values():
            yield from table.values()

    def objects(self, kind: str) -> list[str]:
        """All entities of a kind that appear as an object, sorted."""
        return sorted({fact.object for fact in self if RELATIONS[fact.relation].object == kind})

    @cached_property
    def chains(self) -> list[Chain]:
        """All two-hop chains whose answer is not given away by the question's own words."""
        return [
            Chain(hop1, hop2)
            for r1, r2 in TWO_HOP_TYPES
            for hop1 in self.facts[r1].values()
            if (hop2 := self.facts[r2].get(hop1.object)) is not None and not _gives_away(hop1, hop2)
        ]

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


def _read_rows(path: Traversable, columns: int, expected: str) -> Iterator[list[str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != columns or not all(field.strip() == field != "" for field in fields):
            raise ValueError(f"{path.name}, line {number}: expected {expected}, got {line!r}")
        yield fields


def _read_facts(relation: str, path: Traversable) -> Iterator[Fact]:
    for subject, objects in _read_rows(path, 2, "subject<TAB>object[|alias...]"):
        name, *aliases = objects.split("|")
        yield Fact(relation, subject, name, tuple(aliases))


def _read_births(path: Traversable, relations: tuple[str, ...]) -> Iterator[Fact]:
    for person, *born in _read_rows(path, 4, "person<TAB>city<TAB>country<TAB>year"):
        for relation, value in zip(relations, born, strict=False):
            yield Fact(relation, person, value)
        yield Fact("city_country", born[0], born[1])


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _gives_away(hop1: Fact, hop2: Fact) -> bool:
    """Whether the subject's words contain the bridge or the answer, or the answer is the bridge (Singapore)."""
    subject = _words(hop1.subject)
    return any(words and words <= subject for words in (_words(hop1.object), _words(hop2.object))) or (
        _words(hop2.object) <= _words(hop1.object)
    )
