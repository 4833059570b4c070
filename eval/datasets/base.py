"""What a dataset is here: a reader from its published file to questions, and the scorer that its authors use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from correction.errors import InvalidInput
from correction.questions import BLANK
from eval.datasets.records import Record
from eval.questions import GoldQuestion

Asked = GoldQuestion | InvalidInput


@dataclass(frozen=True)
class Dataset:
    """A published format. `read(path)` gives questions lazily and in order, and an error in a wrong record's place.

    scorer: a name of `eval.scorers`. files: how the published files are called, as glob patterns, the likeliest first;
    of a hub repository the first that is there is taken.
    """

    name: str
    title: str
    read: Callable[[Path], Iterator[Asked]]
    scorer: str = "squad"
    files: tuple[str, ...] = ()


def each(records: Iterable[Record | InvalidInput], convert: Callable[[Record], GoldQuestion | None]) -> Iterator[Asked]:
    """The questions of the records, less those that `convert` gives None for: not what is asked here."""
    for record in records:
        if isinstance(record, InvalidInput):
            yield record
            continue
        try:
            question = convert(record)
        except InvalidInput as error:
            yield error
            continue
        if question is not None:
            yield question


def blank(hop: str, names: Iterable[str]) -> str:
    """The hop with `{}` in place of the name that stands in it once; "" if none does, for then it leads nowhere."""
    for name in sorted(names, key=len, reverse=True):
        if name and hop.count(name) == 1 and BLANK not in hop:
            return hop.replace(name, BLANK)
    return ""


def relation_cloze(relation: str, subject: str) -> str:
    """A statement that stops before its object, from a relation's name as Wikidata has it and its subject.

    Wikidata names relations by nouns ("date of birth"), participles ("located in ...") and third persons ("shares
    border with").
    """
    first = relation.split(maxsplit=1)[0]
    if first == "located":
        return f"{subject} is {relation}"
    if first.endswith("ed"):
        return f"{subject} was {relation}"
    if first in ("follows", "owns", "shares", "uses", "has"):
        return f"{subject} {relation}"
    if relation.endswith(" of") or relation in ("instance", "part"):
        return f"{subject} is {'an' if relation[0] in 'aeio' else 'a'} {relation}"
    return f"The {relation} of {subject} is"
