"""A question, and its hops once they are known."""

from __future__ import annotations

from dataclasses import dataclass

from correction.errors import InvalidInput
from correction.forms import Wording, is_question

BLANK = "{}"


@dataclass(frozen=True)
class Hops:
    """Hop 1 asks for a bridge; every later hop holds `{}` exactly once, where the bridge before it goes.

    Clozes ("The currency of {} is") or questions ("Who runs {}?"). Two hops are the usual; `hop3` and `hop4` make
    longer chains, each bridge leading to the next. Raises `InvalidInput` for an empty or missing hop, or other than one
    blank.
    """

    hop1: str
    hop2: str
    hop3: str | None = None
    hop4: str | None = None

    def __post_init__(self) -> None:
        if not self.hop1.strip():
            raise InvalidInput(
                "hop1 is empty", hint="give the statement or question whose answer is the bridge", param="hop1"
            )
        if self.hop4 is not None and self.hop3 is None:
            raise InvalidInput("hop3 is missing", hint="give the hops in their order", param="hop3")
        for number, hop in enumerate(self.chain[1:], start=2):
            if (count := hop.count(BLANK)) != 1:
                raise InvalidInput(
                    f"hop{number} has {count} blanks",
                    hint="write {} exactly once, where the bridge goes, as in 'The currency of {} is'",
                    param=f"hop{number}",
                )

    @property
    def joined(self) -> str | None:
        """The statement that they make together: each bridge described instead of named.

        None where a hop that gives a bridge is not of the kind "The country where Petra is located is", or the last one
        asks.
        """
        text, *later = self.chain
        for hop in later:
            if not (text.startswith("The ") and text.endswith(" is")):
                return None
            inner = text.removesuffix(" is")
            text = hop.replace(BLANK, f"the {inner.removeprefix('The ')}")
        return None if is_question(text) else text[:1].upper() + text[1:]

    @property
    def chain(self) -> tuple[str, ...]:
        """The hops in their order, two to four."""
        return tuple(hop for hop in (self.hop1, self.hop2, self.hop3, self.hop4) if hop is not None)


@dataclass(frozen=True)
class Question:
    """What is asked: the text, its hops if given, and a cloze of the whole (`direct`) if given.

    At least `text` or `hops` must be there, or it raises `InvalidInput`. `id` comes back in the answer.
    """

    text: str = ""
    hops: Hops | None = None
    direct: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if not self.text.strip() and self.hops is None:
            raise InvalidInput("the question is empty", hint="give 'question', or 'hop1' and 'hop2'", param="question")

    @classmethod
    def from_fields(
        cls,
        question: str | None = None,
        hop1: str | None = None,
        hop2: str | None = None,
        direct: str | None = None,
        id: str | None = None,
        hop3: str | None = None,
        hop4: str | None = None,
    ) -> Question:
        """From the fields of a question file or request; raises `InvalidInput` naming the field that is wrong."""
        if (hop1 is None) != (hop2 is None):
            missing = "hop1" if hop1 is None else "hop2"
            raise InvalidInput(f"{missing} is missing", hint="give both hops or neither", param=missing)
        if hop1 is None and (hop3 is not None or hop4 is not None):
            raise InvalidInput("hop1 is missing", hint="give the hops in their order", param="hop1")
        hops = Hops(hop1, hop2, hop3, hop4) if hop1 is not None and hop2 is not None else None
        return cls(question or "", hops, direct, id)

    @property
    def wording(self) -> Wording:
        """What is put to the model for a plain answer, as a question and as a statement."""
        return Wording.of(self.text, self.direct) if self.text.strip() else Wording.of(self.direct_text)

    def worded(self, hops: Hops | None) -> Wording:
        """The same; a question that no pattern turns into a statement has the one that its hops make together."""
        own = self.wording
        if own.statement is not None or hops is None or (joined := hops.joined) is None:
            return own
        return Wording(own.given, own.question, joined)

    @property
    def direct_text(self) -> str:
        """What is put to the model for a plain answer: the cloze if given, else the question, else the joined hops."""
        if self.direct:
            return self.direct
        if self.text.strip():
            return self.text
        assert self.hops is not None
        text, *later = self.hops.chain
        for hop in later:
            inner = text.strip().removesuffix(" is")
            text = hop.replace(BLANK, inner[:1].lower() + inner[1:])
        return text
