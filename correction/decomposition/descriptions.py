"""Descriptions: the noun phrases of a question that name one entity through another.

"the country where Kruger National Park is located", "the author of Dune", "Dune's author", "whoever wrote Dune".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from correction.decomposition.lexicon import (
    APPOSITIVES,
    AUXILIARIES,
    BASE_VERBS,
    CATEGORIES,
    DETERMINERS,
    PARTICIPLES,
    PREPOSITIONS,
    RELATIVES,
    ROLES,
    VERBS,
    WH,
    is_possessive,
)
from correction.decomposition.words import Words, clause_end, object_end


@dataclass(frozen=True)
class Description:
    """Characters [start, end) of the question, and the same as a noun phrase that can begin hop 1.

    `likely`: a name stands in it and its head is a role, or at least one of them: "the son of man" is a title.
    """

    start: int
    end: int
    phrase: str
    likely: int


def descriptions(text: str) -> list[Description]:
    words = Words(text)
    found: list[Description] = []
    for index in range(len(words)):
        found += [d for d in (_of_or_clause(text, words, index), _possessive(text, words, index)) if d is not None]
    return found


def _of_or_clause(text: str, words: Words, start: int) -> Description | None:
    """`the NOUN of ENTITY`, `the NOUN where ...`, `the NOUN behind ENTITY`, from the determiner at `start`."""
    if words.bare[start] in ("whoever", "whichever") and start + 1 < len(words):
        noun = start + (words.bare[start] == "whichever")
        end = clause_end(words, noun + 1, subject_relative=True)
        return None if end is None else _described(text, words, start, end, noun)
    # "dial code of country where ...": a telegram leaves the article out.
    telegram = start > 0 and words.bare[start - 1] == "of" and words.plain(start) and _relates(words, start + 1)
    if not telegram and (words.bare[start] not in ("the", "a", "an") or (words.name[start] and start > 0)):
        return None
    noun = start if telegram else start + 1
    head = noun
    while head < len(words) and words.plain(head) and not is_possessive(words.words[head]):
        head += 1
    if head == noun or head >= len(words):
        return None
    link = words.bare[head]
    # "the city of birth of X": a bare noun after "of" belongs to the head noun.
    if link == "of" and head + 2 < len(words) and words.plain(head + 1) and words.bare[head + 1] not in DETERMINERS:
        after = words.bare[head + 2]
        if after == "of" or after in RELATIVES:
            head, link = head + 2, after
    if link in PREPOSITIONS and head + 2 < len(words) and words.bare[head + 1] in RELATIVES:
        end = clause_end(words, head + 2, subject_relative=False)  # "in which E lies"
    elif link in RELATIVES:
        subject_relative = link != "where" and head + 1 < len(words) and words.finite(head + 1)
        end = clause_end(words, head + 1, subject_relative=subject_relative)
    elif link in PREPOSITIONS and not (link == "of" and head == start + 2 and words.bare[head - 1] in APPOSITIVES):
        end = object_end(words, head + 1)
    elif head - start > 2 and words.bare[head - 1].endswith("ing"):
        end = object_end(words, head)  # "the country containing E"
    elif words.name[head] and words.bare[head - 1] in CATEGORIES:
        return None
    elif (words.name[head] or words.bare[head] == "the") and not words.is_break(head):
        end = clause_end(words, head, subject_relative=False, needs_verb=True)  # "the country E lies in"
    elif (
        words.finite(head)
        and head > start + 2
        and words.bare[-1] in PREPOSITIONS
        and not any(words.name)
        and words.bare[start - 1] in PREPOSITIONS | AUXILIARIES
    ):
        end = len(words)  # "the city spotify is based in", nothing capitalised
    else:
        return None
    if end is None or end <= head + 1:
        return None
    return _described(text, words, start, end, noun if words.finite(head) else head - 1)


def _likely(words: Words, start: int, end: int, head: int) -> int:
    return any(words.name[start:end]) + (words.bare[head] in ROLES)


def _relates(words: Words, index: int) -> bool:
    return index < len(words) and words.bare[index] in RELATIVES


def _described(text: str, words: Words, start: int, end: int, head: int) -> Description:
    first, last = words.matches[start].start(), words.matches[end - 1].end()
    phrase = text[first:last]
    phrase = re.sub(r"^(?:The|A|An|a|an)\b", "the", phrase)
    phrase = re.sub(r"^whoever\b", "the person who", phrase, flags=re.I)
    phrase = re.sub(r"^whichever (\S+)", r"the \1 that", phrase, flags=re.I)
    if not phrase.startswith("the "):
        phrase = f"the {phrase}"
    return Description(first, last, phrase, _likely(words, start, end, head))


def _possessive(text: str, words: Words, index: int) -> Description | None:
    """`ENTITY's NOUN`: the description is "the NOUN of ENTITY"."""
    if not is_possessive(words.words[index]) or index + 1 >= len(words):
        return None
    end = index + 1
    while (
        end < len(words)
        and words.plain(end)
        and not words.finite(end)
        and words.bare[end] not in PARTICIPLES | BASE_VERBS
    ):
        end += 1
        if is_possessive(words.words[end - 1]):
            break
    while end < len(words) - 1 and words.bare[end] == "of" and words.plain(end + 1):  # "E's place of birth"
        end += 2
    if end == index + 1:
        return None
    start = index
    while start > 0 and _belongs_to_owner(words, start - 1):
        start -= 1
    if start > 0 and is_possessive(words.words[start - 1]):
        return None  # "E's country's currency": the owner is itself described
    first = words.matches[start].start()
    owner = re.sub(r"(?:'s|’s|['’])$", "", text[first : words.matches[index].end()])
    last = words.matches[end - 1].end()
    noun = text[words.matches[index + 1].start() : last]
    noun_end = last
    if is_possessive(words.words[end - 1]):
        stripped = re.sub(r"(?:'s|’s|['’])$", "", noun)
        noun_end -= len(noun) - len(stripped)
        noun = stripped
    return Description(first, noun_end, f"the {noun} of {owner}", _likely(words, start, index + 1, end - 1))


def _belongs_to_owner(words: Words, index: int) -> bool:
    if words.is_break(index):
        return False
    if words.name[index]:
        return not is_possessive(words.words[index]) or words.name[index + 1]
    word = words.bare[index]
    if word in AUXILIARIES | WH | RELATIVES | PREPOSITIONS:
        return False
    if word in ("the", "a", "an"):
        return True
    # Words in lower case belong to the owner only where nothing is capitalised at all.
    return not any(words.name) and word not in VERBS | ROLES
