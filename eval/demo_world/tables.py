"""Reads the true facts from this package's tables, tab-separated, one fact or one person a line."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from eval.demo_world.relations import RELATIONS
from eval.demo_world.statements import Fact

# Every city fact is one relation, kept in two files by what the cities are there for.
_FILES = {"city_country": ("city_country", "city_of_company_country")}
# person, city, country, year. Of people who created nothing in these tables, only the city is asked (and its country).
_BIRTHS = {"births_authors": 3, "births_artists": 3, "births_people": 1}
_BIRTH_RELATIONS = ("person_birthplace", "person_birth_country", "person_birth_year")


def true_facts() -> list[Fact]:
    """Every fact of the tables, in the order of the relations; `ValueError` names file and line of a broken row."""
    folder = resources.files("eval.demo_world") / "facts"
    facts: list[Fact] = []
    for relation in RELATIONS:
        if relation not in _BIRTH_RELATIONS:
            for name in _FILES.get(relation, (relation,)):
                facts.extend(_read_facts(relation, folder / f"{name}.tsv"))
    for name, asked in _BIRTHS.items():
        facts.extend(_read_births(folder / f"{name}.tsv", _BIRTH_RELATIONS[:asked]))
    return facts


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
