"""A question's words with their classes, and how far an entity or a relative clause among them goes."""

from __future__ import annotations

from correction.decomposition.lexicon import (
    AUXILIARIES,
    BASE_VERBS,
    CATEGORIES,
    DETERMINERS,
    MODALS,
    PARTICIPLES,
    PREPOSITIONS,
    RELATIVES,
    VERBS,
    WH,
    bare,
    is_possessive,
    name_mask,
    tokens,
)


class Words:
    """The question's words with their classes, so that a description can be followed to its end."""

    def __init__(self, text: str) -> None:
        self.matches = tokens(text)
        self.words = [match.group() for match in self.matches]
        self.bare = [bare(word) for word in self.words]
        self.name = name_mask(self.words)

    def __len__(self) -> int:
        return len(self.words)

    def finite(self, index: int) -> bool:
        """Whether a word can be the verb of a clause."""
        return not self.name[index] and (self.bare[index] in AUXILIARIES or self.bare[index] in VERBS)

    def asks(self, index: int) -> bool:
        """Whether a question word asks rather than relates: no verb comes after it."""
        if self.bare[index] in ("what", "who", "how", "when"):
            return True
        return not any(self.finite(later) or self.bare[later] in PARTICIPLES for later in range(index + 1, len(self)))

    def is_break(self, index: int) -> bool:
        return self.words[index] in ",?!;"

    def plain(self, index: int) -> bool:
        """A lower-case word that is no function word: it may be (part of) a relation's noun."""
        return (
            not self.name[index]
            and not self.is_break(index)
            and self.bare[index] not in AUXILIARIES | RELATIVES | PREPOSITIONS | WH | DETERMINERS
        )


def object_end(words: Words, start: int) -> int | None:
    """The end of the entity that starts here: a name, or words up to a verb, a comma or the end."""
    index = start
    while index < len(words) and words.bare[index] in DETERMINERS and not words.name[index]:
        index += 1
    if index + 1 < len(words) and words.bare[index] in CATEGORIES and words.name[index + 1]:
        index += 1
    if index < len(words) and words.name[index]:
        end = _name_end(words, index)
        if end == index or (end < len(words) and words.name[end]):
            return None  # a possessive: the description is the owner's
        return _with_nouns(words, end)
    while index < len(words) and not words.is_break(index) and not words.finite(index):
        if words.bare[index] in PARTICIPLES | BASE_VERBS and index > start:
            break
        article = (
            index > start and words.bare[index] == "the" and words.bare[index - 1] not in PREPOSITIONS | DETERMINERS
        )
        goes_on = words.bare[index] in RELATIVES or words.bare[index] in ("whoever", "whichever")
        if goes_on or is_possessive(words.words[index]) or article:
            return None  # a description goes on: the entity is inside a deeper one
        index += 1
    return index if index > start else None


def _name_end(words: Words, start: int) -> int:
    index = start
    while index < len(words) and words.name[index] and not is_possessive(words.words[index]):
        index += 1
    # A possessive inside a title belongs to it if a capital follows: Uncle Tom's Cabin.
    if index < len(words) and words.name[index]:
        return _name_end(words, index + 1) if index + 1 < len(words) and words.name[index + 1] else index
    # A comma inside a title that ends the question: "Crouching Tiger, Hidden Dragon".
    if index + 1 < len(words) and words.words[index] == "," and all(words.name[index + 1 :]):
        return len(words)
    # "the iPhone 15", "Halo 3 game": digits belong to the name.
    while index < len(words) and words.words[index].isdigit():
        index += 1
    return index


def _with_nouns(words: Words, end: int) -> int:
    """ "All Gold tomato sauce", "Jerash ruins": nouns in lower case go on with the name before them."""
    while end < len(words) and words.plain(end) and not is_possessive(words.words[end]):
        if words.bare[end] in VERBS | PARTICIPLES | BASE_VERBS | DETERMINERS:
            break
        end += 1
    return end


def clause_end(words: Words, start: int, *, subject_relative: bool, needs_verb: bool = True) -> int | None:
    """The end of a relative clause that begins at `start`: one verb phrase and its object, no second verb."""
    index = start
    if not subject_relative:
        while index < len(words) and not words.finite(index) and not words.is_break(index):
            index += 1
        if index == start:
            return None
    if index >= len(words) or words.is_break(index):
        return None if needs_verb else index
    saw_object = not subject_relative
    index += 1
    while index < len(words) and not words.is_break(index):
        word = words.bare[index]
        if words.name[index]:
            index = _with_nouns(words, max(_name_end(words, index), index + 1))
            saw_object = True
            if index < len(words) and not words.is_break(index) and words.bare[index] not in PREPOSITIONS:
                break
            continue
        previous = words.bare[index - 1]
        if (word in PARTICIPLES and previous in AUXILIARIES) or previous in MODALS:
            pass  # "is located", "can find": the clause's own verb goes on
        elif (words.finite(index) and (saw_object or word in AUXILIARIES)) or (
            word in BASE_VERBS | PARTICIPLES and saw_object and previous not in PREPOSITIONS | DETERMINERS
        ):
            break  # a second verb: the question's own
        elif word in WH and saw_object and words.asks(index):
            return index - 1 if words.bare[index - 1] in PREPOSITIONS else index
        if subject_relative and word not in PREPOSITIONS | DETERMINERS | PARTICIPLES | AUXILIARIES | {
            "home",
            "responsible",
            "known",
        }:
            saw_object = True
        index += 1
    return index
