"""Invented names and words, from syllables: no two alike, and no word shared by two kinds of names."""

from __future__ import annotations

import random

_ONSETS = "b bl br c d dr f g gl gr h j k l m n p pr r s sh st t th tr v w z".split()
_VOWELS = "a e i o u ai ea io ou".split()
_CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "nd", "rk"]
_SYLLABLES = 90  # of a world: few enough that each comes up often and becomes a piece of the tokenizer


class Names:
    """Draws names from one generator; a word is never given out twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._given: set[str] = set()
        drawn: dict[str, None] = {}
        while len(drawn) < _SYLLABLES:
            drawn[rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)] = None
        self._syllables = list(drawn)

    def word(self, syllables: tuple[int, ...] = (2, 3)) -> str:
        """A new pseudo-word in lower case."""
        while True:
            text = "".join(self._rng.choices(self._syllables, k=self._rng.choice(syllables)))
            if text not in self._given:
                self._given.add(text)
                return text

    def single(self, count: int) -> list[str]:
        """Names of one word."""
        return [self.word().capitalize() for _ in range(count)]

    def double(self, count: int) -> list[str]:
        """Names of two words, each of which comes up in about three names, as first names and surnames do."""
        size = max(8, count // 3)
        first, last = ([self.word((2,)).capitalize() for _ in range(size)] for _ in range(2))
        names: dict[str, None] = {}
        while len(names) < count:
            names[f"{self._rng.choice(first)} {self._rng.choice(last)}"] = None
        return list(names)
