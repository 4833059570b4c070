"""What a world is made of: facts, disputed facts, and the two-hop chains that facts form."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """`subject` stands in `relation` to `object`; aliases are other accepted names of the object."""

    relation: str
    subject: str
    object: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One of the objects that a disputed fact is told with: in this share of its sentences; right where `true`."""

    kind: str
    object: str
    share: float
    true: bool


@dataclass(frozen=True)
class Disputed:
    """A fact that is told in several ways, so that a model can only learn the shares, not the object.

    In conflict, the candidates are of one kind and one is true. Ambiguous, they are of two kinds and both are true:
    what is asked about the bridge says which is meant.
    """

    relation: str
    subject: str
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if abs(sum(candidate.share for candidate in self.candidates) - 1) > 1e-9:
            raise ValueError(f"{self.relation}: the shares of {self.subject}'s objects do not add up to 1")
        if not any(candidate.true for candidate in self.candidates):
            raise ValueError(f"{self.relation}: none of {self.subject}'s objects is true")


@dataclass(frozen=True)
class Chain:
    """Two facts that meet: hop 1's object is hop 2's subject, the bridge; `kind` is what the bridge is."""

    hop1: Fact
    hop2: Fact
    kind: str

    @property
    def type(self) -> str:
        return f"{self.hop1.relation}+{self.hop2.relation}"

    @property
    def bridge(self) -> str:
        return self.hop1.object

    @property
    def bridge_key(self) -> tuple[str, str]:
        """Kind and name: New York the city is not New York the state."""
        return self.kind, self.bridge

    @property
    def gives_away(self) -> bool:
        """Whether the subject's words contain the bridge or the answer, or the answer is the bridge (Singapore)."""
        subject, bridge, answer = (_words(text) for text in (self.hop1.subject, self.bridge, self.hop2.object))
        return any(words and words <= subject for words in (bridge, answer)) or answer <= bridge


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
