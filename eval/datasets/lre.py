"""LRE's relations (Hernandez et al. 2024): a folder of them gives two-hop questions, one file single hops.

Two relations make a two-hop question where the first one's object is, to the letter, the second one's subject: 3,075
from the 26 factual relations. The phrase for "the bridge of the subject" is ours, since LRE's templates are sentences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from correction.errors import InvalidInput
from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset
from eval.datasets.records import Record
from eval.questions import GoldQuestion

# Whose subject may be the bridge's description: relation -> the object as a noun phrase.
PHRASES = {
    "city in country": "the country that {} is in",
    "company CEO": "the CEO of {}",
    "company hq": "the city where {} is headquartered",
    "country capital city": "the capital city of {}",
    "country currency": "the currency of {}",
    "country language": "the language that people in {} speak",
    "country largest city": "the largest city in {}",
    "food from country": "the country that {} originates from",
    "landmark in country": "the country where {} is located",
    "landmark on continent": "the continent that {} is on",
    "person father": "the father of {}",
    "person lead singer of band": "the band whose lead singer is {}",
    "person mother": "the mother of {}",
    "person native language": "the native language of {}",
    "person occupation": "the occupation of {}",
    "person plays instrument": "the instrument that {} plays",
    "person sport position": "the position in which {} plays",
    "person university": "the university that {} attended",
    "plays pro sport": "the sport that {} plays",
    "pokemon evolution": "the Pokémon that {} evolves into",
    "president birth year": "the year in which {} was born",
    "president election year": "the year in which {} was elected",
    "product by company": "the company that created {}",
    "star constellation name": "the constellation that {} is part of",
    "superhero archnemesis": "the archnemesis of {}",
    "superhero person": "the person who is secretly {}",
}


def read(path: Path) -> Iterator[Asked]:
    """The two-hop questions of a folder, or the single hops of one relation's file."""
    if not path.is_dir():
        yield from _single_hops(_relation(path))
        return
    relations = []
    for file in sorted(path.glob("*.json")):
        try:
            relations.append(_relation(file))
        except InvalidInput as error:
            yield error
    if not relations:
        raise InvalidInput(
            f"no relation in {path}", hint="give LRE's data/factual, or one of its files", param="questions"
        )
    for first in relations:
        for second in relations:
            yield from _composed(first, second)


def _relation(path: Path) -> Record:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="questions") from error
    except ValueError as error:
        raise InvalidInput(f"{path}: not JSON ({error})", hint="is the download whole?", param="questions") from error
    if not isinstance(fields, dict):
        raise InvalidInput(f"{path}: not an object", hint="one relation a file", param="questions")
    relation = Record(str(path), fields)
    if not relation.texts("prompt_templates"):
        raise relation.wrong("prompt_templates", "is empty")
    return relation


def _samples(relation: Record) -> Iterator[tuple[str, str] | InvalidInput]:
    seen = set()
    for sample in relation.records("samples"):
        try:
            pair = (_unescaped(sample.text("subject")), _unescaped(sample.text("object")))
        except InvalidInput as error:
            yield error
            continue
        if pair not in seen:  # a few are written twice
            seen.add(pair)
            yield pair


def _unescaped(text: str) -> str:
    r"""Two capitals are published with the escape as text: Bras\u00edlia."""
    return json.loads(f'"{text}"') if "\\u" in text else text


def _single_hops(relation: Record) -> Iterator[Asked]:
    name = relation.text("name")
    for number, pair in enumerate(_samples(relation)):
        if isinstance(pair, InvalidInput):
            yield pair
        else:
            asked = relation.texts("prompt_templates")[0].replace(BLANK, pair[0])
            yield GoldQuestion(f"{name}-{number}", asked, answer=pair[1], type=name)


def _composed(first: Record, second: Record) -> Iterator[Asked]:
    """Each sample of the first with each of the second that is about its object. Faults are the first's, told once."""
    objects: dict[str, list[str]] = {}
    for pair in _samples(second):
        if not isinstance(pair, InvalidInput):
            objects.setdefault(pair[0], []).append(pair[1])
    names = (first.text("name"), second.text("name"))
    hop1, hop2 = first.texts("prompt_templates")[0], second.texts("prompt_templates")[0]
    phrase = PHRASES.get(names[0], f"the {names[0]} of {BLANK}")
    for pair in _samples(first):
        if isinstance(pair, InvalidInput):
            if first is second:
                yield pair
            continue
        subject, bridge = pair
        for answer in objects.get(bridge, ()):
            whole = hop2.replace(BLANK, phrase.replace(BLANK, subject))
            yield GoldQuestion(
                id=f"{names[0]}+{names[1]}:{subject}:{answer}",
                question=f"{whole[:1].upper()}{whole[1:]}",
                hop1=hop1.replace(BLANK, subject),
                hop2=hop2,
                bridge=bridge,
                answer=answer,
                type=f"{names[0]}+{names[1]}",
            )


LRE = Dataset("lre", "LRE, composed (Hernandez et al. 2024)", read, "prefix", ())
