"""Forms: the ways to put a text to a model, and where an answer ends in them.

Half of what a pretrained model gets right is a matter of form, and the best form for a whole question is not the best
one for a hop. So a profile names a form for each *kind* of pass (`Forms`), and calibration chooses them. What is put to
the model is a question and a statement that stops before its object; where only one of the two is given the other is
made from it (`Wording`). Tokenizers and models are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from correction.errors import InvalidInput

# direct: a two-hop question as a whole. hop1: the hop that gives the bridge. hop2: every later hop. target: a later
# hop that a single state is written into, which therefore names the bridge once.
Kind = Literal["direct", "hop1", "hop2", "target"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BE = "is|was|are|were"
# Who rather than what: "Who is the author of Dune?", but "What is the capital of Peru?"
_PEOPLE = frozenset(
    """author writer novelist poet playwright director filmmaker artist painter sculptor creator designer inventor
    architect composer singer performer musician actor actress star founder ceo boss executive head leader president
    king queen ruler mayor person man woman father mother wife husband spouse brother sister teacher""".split()
)
_ARTICLE = re.compile(r"(The|A|An|Its|His|Her|People|In|On) ")
_DESCRIBED = re.compile(rf"(?P<subject>.+?) (?P<verb>{_BE})(?: the| a| an)?")
_PLACED = re.compile(
    rf"(?P<subject>.+?) (?P<verb>{_BE})(?P<how>.*?) (?P<at>in|on|at|from|by|to) the (?P<kind>[a-z]+)(?: of)?"
)
_ACTED = re.compile(rf"(?P<subject>.+?) (?P<verb>{_BE}) (?P<how>[a-z]+) (?P<at>in|on|at|from|by|to)")
_STANDS = re.compile(rf"(?P<subject>.+?) (?P<verb>{_BE}) (?P<at>in|on|at)")
_ASKED = re.compile(rf"(?:what|who|which) (?P<verb>{_BE}) (?P<subject>.+?)\?", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """One thing to ask. given: as it was given. question, statement: one of them is that, the other is made from it,
    None where no pattern of ours fits; a statement stops before its object."""

    given: str
    question: str | None
    statement: str | None

    @classmethod
    def of(cls, text: str, statement: str | None = None) -> Wording:
        """From a question or a statement, or from both: then the statement is how it is given."""
        text, statement = text.strip(), (statement or "").strip()
        if statement and not is_question(statement):
            return cls(statement, text if is_question(text) else as_question(statement), statement)
        text = statement or text
        return cls(text, text, as_statement(text)) if is_question(text) else cls(text, as_question(text), text)

    def naming(self, blank: str, name: str) -> Wording:
        """The same with `name` in place of `blank`."""
        question, statement = (text and text.replace(blank, name) for text in (self.question, self.statement))
        return Wording(self.given.replace(blank, name), question, statement)


@dataclass(frozen=True)
class Example:
    """A fact that shows a model what is wanted: a statement that stops before its object, a question, the answer."""

    statement: str
    question: str
    answer: str


# General facts of our own, of kinds that two-hop questions are not about: no country, company, author or birthplace.
EXAMPLES = (
    Example("The largest planet in the solar system is", "What is the largest planet in the solar system?", "Jupiter"),
    Example("The longest river in Africa is the", "What is the longest river in Africa?", "Nile"),
    Example("Penicillin was discovered by", "Who discovered penicillin?", "Alexander Fleming"),
    Example("The chemical symbol of gold is", "What is the chemical symbol of gold?", "Au"),
    Example("The first man on the Moon was", "Who was the first man on the Moon?", "Neil Armstrong"),
)


@dataclass(frozen=True)
class Form:
    """chat: in the turns of the model's template. examples: after a few. asks: the question is written. begins: the
    answer is begun with the statement."""

    name: str
    says: str
    chat: bool = False
    examples: bool = False
    asks: bool = False
    begins: bool = True

    @property
    def mentions(self) -> int:
        """How often it names what the text is about."""
        return self.asks + self.begins


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("plain", "the text as it stands"),
        Form("examples", "examples, then the statement", examples=True),
        Form("asked", "examples as Q: and A:", examples=True, asks=True, begins=False),
        Form("begun", "examples as Q: and A:, each answer begun with the statement", examples=True, asks=True),
        Form("chat", "a chat turn", chat=True, asks=True, begins=False),
        Form("chat_examples", "a chat with example turns", chat=True, examples=True, asks=True, begins=False),
        Form("chat_begun", "a chat turn, the answer begun with the statement", chat=True, asks=True),
        Form(
            "chat_examples_begun", "a chat with example turns, each answer begun", chat=True, examples=True, asks=True
        ),
    )
}


@dataclass(frozen=True)
class Forms:
    """The form of each kind of pass, by its name in `FORMS`.

    ends: what ends an answer beside the end of sequence: `line`, a line break; or `phrase`, also a comma, a full stop,
    a bracket or a sentence that goes on, which is how a model that has read the web says a name.
    """

    direct: str = "plain"
    hop1: str = "plain"
    hop2: str = "plain"
    target: str = "plain"
    ends: Literal["line", "phrase"] = "line"
    examples: tuple[Example, ...] = EXAMPLES

    def of(self, kind: Kind) -> Form:
        """The form of a kind of pass."""
        return FORMS[getattr(self, kind)]

    def having(self, kind: Kind, name: str) -> Forms:
        """The same with another form for one kind."""
        return replace(self, **{kind: name})  # type: ignore[arg-type]

    @property
    def chat(self) -> bool:
        """Whether any of them needs a chat template."""
        return any(self.of(kind).chat for kind in KINDS)

    def check(self) -> None:
        """Raises `InvalidInput` for a form that there is none of, and for a target that names the bridge twice."""
        for kind in KINDS:
            name = getattr(self, kind)
            if name not in FORMS:
                raise InvalidInput(f"unknown form {name!r}", hint=f"choose one of {', '.join(FORMS)}", param="form")
        if self.of("target").mentions > 1:
            raise InvalidInput(
                f"the form {self.target!r} names the bridge twice, so a single state cannot take its place",
                hint="choose plain or examples for 'target'",
                param="form",
            )
        if self.ends not in ("line", "phrase"):
            raise InvalidInput(f"an answer cannot end at {self.ends!r}", hint="choose line or phrase", param="form")

    @classmethod
    def all_of(cls, name: str) -> Forms:
        """One form for every kind, as far as it can be: a target takes the one of its family with a single mention."""
        form = FORMS.get(name)
        single = (
            name if form is None or (form.mentions == 1 and not form.chat) else "examples" if form.examples else "plain"
        )
        return cls(name, name, name, single, "phrase")

    @classmethod
    def from_fields(cls, given: dict[str, object]) -> Forms:
        """What a profile holds; raises `TypeError` or `InvalidInput` for what is none."""
        known = {field.name for field in fields(cls)}
        if unknown := given.keys() - known:
            raise TypeError(f"unknown fields {sorted(unknown)}")
        examples = given.get("examples", EXAMPLES)
        if not isinstance(examples, Iterable):
            raise TypeError("the examples are no list")
        shown = tuple(e if isinstance(e, Example) else Example(**e) for e in examples)
        forms = cls(**{**given, "examples": shown})  # type: ignore[arg-type]
        forms.check()
        return forms


PLAIN = Forms()


def is_question(text: str) -> bool:
    """Whether the text asks (ends in a question mark) rather than stops before its answer."""
    return text.rstrip().endswith("?")


def as_question(statement: str) -> str | None:
    """A question that the rest of the statement answers, None where no pattern of ours fits.

    "The capital of Peru is" gives "What is the capital of Peru?".
    """
    text = statement.strip()
    if found := _DESCRIBED.fullmatch(text):
        word = "Who" if _describes_person(found["subject"]) else "What"
        return f"{word} {found['verb']} {_inside(found['subject'])}?"
    if found := _PLACED.fullmatch(text):
        at, kind = found["at"].capitalize(), found["kind"]
        return f"{at} which {kind} {found['verb']} {_inside(found['subject'])}{found['how']}?"
    if found := _ACTED.fullmatch(text):
        verb, subject, how, at = found["verb"], _inside(found["subject"]), found["how"], found["at"]
        if at == "by":
            return f"Who {verb} {subject} {how} by?"
        return f"Where {verb} {subject} {how}?" if at in ("in", "at") else f"What {verb} {subject} {how} {at}?"
    if found := _STANDS.fullmatch(text):
        return f"Where {found['verb']} {_inside(found['subject'])}?"
    return None


def as_statement(question: str) -> str | None:
    """The statement whose rest answers the question, None where it is of another kind than "What is X?"."""
    found = _ASKED.fullmatch(question.strip())
    if found is None:
        return None
    subject = found["subject"]
    return f"{subject[0].upper()}{subject[1:]} {found['verb']}"


def _inside(subject: str) -> str:
    """A subject as it stands inside a sentence: its article in lower case."""
    return subject[0].lower() + subject[1:] if _ARTICLE.match(subject) else subject


def _describes_person(subject: str) -> bool:
    words = re.findall(r"[a-z]+", subject.lower())
    return words[:1] == ["the"] and any(word in _PEOPLE for word in words[1:3])


# What follows a full stop that ends no sentence: "St. Louis", "J. K. Rowling", "D.C."
_ABBREVIATED = re.compile(r"(?:^|[\s.])(?:[A-Za-z]|St|Ste|Mt|Ft|Dr|Mr|Mrs|Ms|Jr|Sr|No|vs)$")
_OUTER = " \t\"“”'’*:"  # a name may stand in quotes, between asterisks, or behind a colon
_ENDS = re.compile(
    r",(?!\d)|[;:\n(\[{<?!\"“”|]|\s[-–—]\s|\.(?=\s|$|[\"”')])|\s(?:is|was|are|were|which|who|where|because)\s"
)


def phrase(text: str) -> str:
    """The name that a text begins with: up to a comma, a full stop, a bracket, or where a sentence goes on."""
    start = len(text) - len(text.lstrip(_OUTER))
    for found in _ENDS.finditer(text, start):
        before = text[start : found.start()]
        if not before.strip() and found[0] != "\n":
            continue
        if found[0] == "." and _ABBREVIATED.search(before):
            continue
        return before.strip(_OUTER)
    return text[start:].strip(_OUTER)


def phrase_is_over(text: str) -> bool:
    """Whether the first phrase of a text is what it is whatever comes next."""
    name = phrase(f"{text} x")
    return all(phrase(f"{text}{more}") == name for more in ("x", "1", ".", ". X", '"'))
