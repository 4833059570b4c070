"""Wordings of invented relations: templates, from which each relation is drawn its own.

`<>` is the subject. `{k}` is the word for the bridge's kind ("province"), `{r}` the relation's own word ("emblem", or a
pseudo-word), `{v}` a participle, `{a}` an adjective. Only hop 1's wordings say what kind of thing they ask for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from eval.demo_world.relations import Relation

KINDS = "province guild valley island clan order harbor realm abbey colony duchy league fort parish".split()
_NOUNS = (
    "emblem banner motto patron tribute festival dialect remedy ballad metal creed crop rival spice tax oath dance "
    "engine signal treasure garment idol fabric colour drink symbol bird flower stone coin chant game hymn ration"
).split()
_PARTICIPLES = "kept built found made held shown buried raised stored founded drawn printed taught guarded".split()
_ADJECTIVES = "main official oldest favourite chosen common sacred usual".split()

_FIRST_NOUNS = (
    "the {k} where <> is {v}",
    "the {k} that is home to <>",
    "the {k} in which <> was {v}",
    "the {k} that holds <>",
    "the {k} that <> belongs to",
    "the {k} behind <>",
    "the {r} of <>",
)
_FIRST_CLOZES = ("<> is {v} in the {k} of", "<> belongs to", "The {r} that <> has is", "<>'s {r} is", "<> is under")
_FIRST_QUESTIONS = (
    "In which {k} is <> {v}?",
    "Which {k} holds <>?",
    "What {k} is <> {v} in?",
    "Which {k} does <> belong to?",
)
_SECOND_NOUNS = (
    "the {r} of <>",
    "the {r} used in <>",
    "the {a} {r} of <>",
    "the {r} found in <>",
    "the {r} that <> chose",
)
_SECOND_CLOZES = ("<>'s {r} is", "<> is known for the {r}", "People in <> name as their {r}", "<> has as its {r}")
_SECOND_QUESTIONS = (
    "What {r} does <> have?",
    "Which {r} belongs to <>?",
    "What {r} is used in <>?",
    "Which {r} is <> known for?",
)
_VAGUE_NOUNS = ("the {r} of <>", "the origin of <>", "the home of <>", "the source of <>")
_VAGUE_CLOZES = ("<> comes from", "<> is from", "<> goes back to")
_VAGUE_QUESTIONS = ("Where does <> come from?", "Where is <> from?")


class Wordings:
    """Draws relations; no two share their word. `word` gives a new pseudo-word, used for about half of the words."""

    def __init__(self, rng: random.Random, word: Callable[[], str]) -> None:
        self._rng = rng
        self._word = word
        self._nouns = rng.sample(_NOUNS, len(_NOUNS))

    def first(self, subject: str, kind: str) -> Relation:
        """Hop 1 to a bridge of this kind."""
        return self._draw(subject, kind, (3, _FIRST_NOUNS), (2, _FIRST_CLOZES), (2, _FIRST_QUESTIONS))

    def second(self, kind: str, value: str) -> Relation:
        """Hop 2 from a bridge of this kind."""
        return self._draw(kind, value, (3, _SECOND_NOUNS), (2, _SECOND_CLOZES), (2, _SECOND_QUESTIONS))

    def vague(self, subject: str, kinds: Sequence[str]) -> Relation:
        """Hop 1 in words that do not say which of the kinds they ask for."""
        kind = " or ".join(kinds)
        return self._draw(subject, kind, (3, _VAGUE_NOUNS), (2, _VAGUE_CLOZES), (1, _VAGUE_QUESTIONS))

    def _draw(self, subject: str, kind: str, *templates: tuple[int, tuple[str, ...]]) -> Relation:
        """A relation with this many of these nouns, clozes and questions."""
        word = self._nouns.pop() if self._rng.random() < 0.5 else self._word()
        slots = {"k": kind, "r": word, "v": self._rng.choice(_PARTICIPLES), "a": self._rng.choice(_ADJECTIVES)}
        nouns, clozes, questions = (
            tuple(text.format(**slots).replace("<>", "{}") for text in self._rng.sample(texts, count))
            for count, texts in templates
        )
        return Relation(f"{subject}_{word}", subject, kind, nouns, clozes, questions)
