"""Two hops that stand in two clauses: one introduces the bridge, the other asks about it.

"Who wrote Dune, and where was that person born?", "The Kindle is sold by a company. Who started that company?",
"Mount Fuji is in a country whose capital is what?", "Lost in Translation: what year was its director born?"
"""

from __future__ import annotations

import re

from correction.decomposition.lexicon import ANYONE, AUXILIARIES, PARTICIPLES, PREPOSITIONS, VERBS, WH, bare
from correction.questions import BLANK, Hops

LINKS = ("whose", "who", "that", "which", "with", "of", "in", "from", "on")
_TWO = re.compile(r"^(?P<first>.+?)\s*(?:[,;.:!?–—-]+\s+and|[;.:!?–—]|,| - | and)\s+(?P<second>\S.*)$")
_ANAPHOR = re.compile(
    r"\b(?:(?:that|this|the same|said) (?:person|man|woman|author|writer|director|artist|painter|company|firm|maker|"
    r"city|town|place|country|nation|state|[a-z]+)|he|she|they|it|him|them)(?P<own>['’]s)?\b"
)
_POSSESSED = re.compile(r"\b(?:its|his|her|their)\b (?=[a-z])")
_TOPIC = re.compile(r"\bits (?P<noun>[a-z]+)\b")


def split_clauses(text: str) -> Hops | None:
    """The hops of two clauses, or None where there are no two."""
    return _split_indefinite(text) or _split_coordinated(text)


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_clause(words: list[str]) -> bool:
    return bare(words[0]) not in WH | PREPOSITIONS and any(bare(word) in AUXILIARIES | VERBS for word in words[1:])


def _introduced(clause: str, noun: str) -> str:
    """Hop 1 from the clause up to the indefinite noun that stands for the bridge."""
    words = clause.split()
    if noun in ANYONE:
        return _upper_first(clause)
    if bare(words[-1]) in ("is", "has", "had", "was"):
        return f"The {noun} of {' '.join(words[:-1])} is"
    return f"The {noun} that {clause} is"


def _split_indefinite(text: str) -> Hops | None:
    # The last one first: "a city in a country whose capital is what" asks about the country.
    for start in reversed([*re.finditer(r"\b(?:an?|someone|somebody)\b", text)]):
        for words in (1, 2):
            hops = _from_indefinite(text, start.start(), words)
            if hops is not None:
                return hops
    return None


def _from_indefinite(text: str, start: int, words: int) -> Hops | None:
    """Hops around the indefinite noun of so many words at `start`, if it is followed by what is asked of it."""
    clause, after = text[:start].strip(), text[start:].split()
    length = 1 if after[0] in ANYONE else 1 + words
    noun, asked = " ".join(after[:length]).rstrip(","), after[length:]
    if not asked or not clause or re.search(r"[.;:?!]", text) or not _is_clause(clause.split()):
        return None
    link = asked[0] if asked[0] in LINKS else None
    rest = " ".join(asked[1:] if link else asked)
    asks = any(bare(word) in WH for word in asked[1 if link else 0 :])
    if not rest or (link is None and asked[0] not in PARTICIPLES):
        return None
    if not asks and link != "whose" and bare(asked[-1]) not in PREPOSITIONS | {"year"}:
        return None
    if link in ("who", "that", "which"):
        hop2 = f"{BLANK} {rest}"
    elif link == "whose":
        hop2 = f"{BLANK}'s {rest}"
    elif link == "with":
        hop2 = f"{BLANK} has {rest}"
    else:
        hop2 = f"{BLANK} is {noun} {link} {rest}" if link else f"{BLANK} was {rest}"
    return Hops(_introduced(clause, re.sub(r"^an? ", "", noun)), f"{hop2}?" if asks else hop2)


def _split_coordinated(text: str) -> Hops | None:
    match = _TWO.match(text)
    if match is None:
        return None
    first, second = match["first"].strip(), match["second"].strip(" ?.")
    if not any(bare(word) in WH for word in second.split()[:6]):
        return None
    words = first.split()
    topic = _TOPIC.search(second)
    if topic is not None and not _is_clause(words) and bare(words[0]) not in WH:
        hop2 = f"{second[: topic.start()]}{BLANK}{second[topic.end() :]}"
        return Hops(f"The {topic['noun']} of {first} is", f"{_upper_first(hop2)}?")
    hop2, count = _POSSESSED.subn(f"{BLANK}'s ", second, count=1)
    if not count:
        hop2, count = _ANAPHOR.subn(lambda found: BLANK + (" is" if found["own"] else ""), second, count=1)
    if not count:
        return None
    if bare(words[0]) in WH:
        hop1 = f"{first}?"
    else:
        introduced = re.match(r"^(?P<clause>.+?) (?P<noun>an? [a-z]+|someone|somebody)$", first)
        if introduced is None or not _is_clause(introduced["clause"].split()):
            return None
        hop1 = _introduced(introduced["clause"], re.sub(r"^an? ", "", introduced["noun"]))
    return Hops(_upper_first(hop1), f"{_upper_first(hop2)}?") if hop2.count(BLANK) == 1 else None
