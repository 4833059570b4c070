"""The short probe of a model without a profile: in which forms it says what everybody knows.

Some forty two-hop questions about famous things are asked in every form that the tokenizer has, hop by hop and as a
whole, and each kind of pass gets the form with the most right answers. It takes seconds on a GPU, a minute or so for a
small model on a CPU, and is remembered. It chooses forms and between two text strategies; whether a patch helps is for
calibration to say, which chooses its forms by the same function on its own questions.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from correction.engines.base import Engine, Sharing
from correction.errors import InvalidInput
from correction.forms import EXAMPLES, FORMS, Example, Forms, Kind, Wording, phrase
from correction.kept import cache_folder
from correction.models import LoadedModel
from correction.passes import Pass, Sampling
from correction.prompts import Prompts, Text
from correction.questions import BLANK
from correction.selection import same

log = logging.getLogger(__name__)

ASKED: tuple[Kind, ...] = ("direct", "hop1", "hop2", "target")
FIRST = 12  # questions that every form is tried on, in the probe; the rest are for the best of them
KEPT = 3
TOKENS = 12
TEXT = ("two_step", "direct")  # the strategies that it chooses from


@dataclass(frozen=True)
class Chain:
    """A two-hop question with its hops and the names that are right: `bridges` and `answers`, the first of each the
    usual one."""

    direct: Wording
    hop1: str
    hop2: str
    bridges: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """The forms, and the fraction right of each kind of pass in each form that was tried on all questions.

    two_step: the fraction right of hop 2 after hop 1, in the forms that were chosen.
    """

    forms: Forms
    shares: dict[str, dict[str, float]]
    two_step: float

    @property
    def strategy(self) -> str:
        """What answers best without a patch."""
        return "two_step" if self.two_step >= self.shares["direct"][self.forms.direct] else "direct"


async def probe(loaded: LoadedModel, engine: Engine) -> Chosen:
    """The forms for a model, from the probe's own questions; asked once, then remembered for these weights, this
    template and these questions."""
    template = str(getattr(loaded.tokenizer, "chat_template", None))
    asked = sha256(repr((loaded.fingerprint, template, FORMS, EXAMPLES, CHAINS)).encode()).hexdigest()[:32]
    file = cache_folder() / "forms" / f"{asked}.json"
    known = _remembered(file)
    if known is not None and (Prompts(loaded.tokenizer).has_template or not known.forms.chat):
        return known
    chosen = await choose_forms(loaded, engine, CHAINS)
    _remember(file, chosen)
    return chosen


async def choose_forms(
    loaded: LoadedModel,
    engine: Engine,
    chains: Sequence[Chain],
    examples: tuple[Example, ...] = EXAMPLES,
    first: int = FIRST,
    on_step: Callable[[str], object] = lambda name: None,
) -> Chosen:
    """The best form for each kind of pass: every form on the first questions, the best few on the rest.

    An answer ends with the line where that gives no fewer right answers in forms without examples and chat turns, else
    with the phrase.
    """
    base = Forms(ends="phrase", examples=examples)
    tried = _Tried(loaded, engine, chains, base)
    names = [name for name, form in FORMS.items() if not form.chat or tried.chats]
    rows = list(range(len(chains)))
    begin, rest = rows[:first], rows[first:]
    right: dict[Kind, dict[str, list[bool]]] = {kind: {} for kind in ASKED}
    for name in names:
        on_step(f"form {name}")
        for kind in ASKED:
            if kind != "target" or FORMS[name].mentions == 1:
                right[kind][name] = await tried.right(name, kind, begin)
    for kind in ASKED:
        # A form that is good for one kind is likely good for another: of equals the one that is best altogether.
        best = sorted(right[kind], key=lambda name: -(sum(right[kind][name]) + _pooled(right, name) / 100))[:KEPT]
        for name in best if rest else ():
            on_step(f"{kind} as {name}")
            right[kind][name] += await tried.right(name, kind, rest)
        right[kind] = {name: right[kind][name] for name in best}
    chosen = {
        kind: max(marks, key=lambda name: (sum(marks[name]), _pooled(right, name))) for kind, marks in right.items()
    }
    forms = base
    for kind, name in chosen.items():
        forms = forms.having(kind, name)
    if all(name == "plain" for name in chosen.values()) and tried.lines_do(right):
        forms = replace(forms, ends="line")
    shares: dict[str, dict[str, float]] = {
        kind: {name: sum(of) / len(of) for name, of in marks.items()} for kind, marks in right.items()
    }
    on_step("two steps")
    return Chosen(forms, shares, await tried.two_step(forms))


def _pooled(right: dict[Kind, dict[str, list[bool]]], name: str) -> int:
    return sum(sum(marks[name]) for marks in right.values() if name in marks)


class _Tried:
    def __init__(self, loaded: LoadedModel, engine: Engine, chains: Sequence[Chain], base: Forms) -> None:
        self.loaded, self.engine, self.chains, self.base = loaded, engine, chains, base
        self.chats = Prompts(loaded.tokenizer).has_template
        self.lines: dict[tuple[Kind, str], int] = defaultdict(int)  # right answers if an answer is the whole line

    def lines_do(self, right: Mapping[Kind, Mapping[str, Sequence[bool]]]) -> bool:
        """Whether whole lines are right as often as phrases, in the form `plain`."""
        return all(self.lines[kind, "plain"] >= sum(marks["plain"]) for kind, marks in right.items())

    async def right(self, form: str, kind: Kind, rows: Sequence[int]) -> list[bool]:
        """Whether these questions' parts of this kind are answered right in a form."""
        asked = [self._part(self.chains[row], kind) for row in rows]
        said = await self._says(self.base.having(kind, form), kind, [text for text, _ in asked])
        self.lines[kind, form] += sum(is_right(text, names) for text, (_, names) in zip(said, asked, strict=True))
        return [is_right(phrase(text), names) for text, (_, names) in zip(said, asked, strict=True)]

    @staticmethod
    def _part(chain: Chain, kind: Kind) -> tuple[Text, tuple[str, ...]]:
        if kind == "direct":
            return chain.direct, chain.answers
        if kind == "hop1":
            return chain.hop1, chain.bridges
        return Wording.of(chain.hop2).naming(BLANK, chain.bridges[0]), chain.answers

    async def two_step(self, forms: Forms) -> float:
        said = await self._says(forms, "hop1", [chain.hop1 for chain in self.chains])
        asked = [Wording.of(c.hop2).naming(BLANK, phrase(text)) for c, text in zip(self.chains, said, strict=True)]
        answers = await self._says(forms, "hop2", asked)
        right = [is_right(phrase(text), c.answers) for text, c in zip(answers, self.chains, strict=True)]
        return sum(right) / len(right)

    async def _says(self, forms: Forms, kind: Kind, texts: Sequence[Text]) -> list[str]:
        prompts = Prompts(self.loaded.tokenizer, forms)
        if isinstance(self.engine, Sharing):
            with suppress(InvalidInput):  # a template may refuse these turns: said of each question below
                self.engine.share([prompts.shared(kind)])
        sampling = Sampling(TOKENS, 0, phrase=forms.of(kind).name != "plain")  # whose lines are looked at as well

        async def say(text: Text) -> str:
            try:
                result = await self.engine.run(Pass(prompts.encode(text, kind), sampling=sampling))
            except InvalidInput:  # examples do not fit into a small context, or a template takes no such turns
                return ""
            return self.loaded.text(result.tokens)

        return list(await asyncio.gather(*map(say, texts)))


def is_right(text: str, names: Sequence[str]) -> bool:
    """Whether a text is one of the names, as answers are told apart."""
    return any(same(text, name) for name in names)


def _remembered(file: Path) -> Chosen | None:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        chosen = Chosen(Forms.from_fields(fields["forms"]), fields["shares"], float(fields["two_step"]))
        return chosen if chosen.strategy in TEXT else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidInput):
        return None  # of another version, or damaged: asked again


def _remember(file: Path, chosen: Chosen) -> None:
    partial = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(chosen), ensure_ascii=False), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        log.warning("the forms that the probe found cannot be remembered (%s)", error.strerror or error)


def _chain(of: str, noun: str, hop1: str, bridge: str, hop2: str, answer: str) -> Chain:
    direct = hop2.replace(BLANK, noun.format(of))
    return Chain(
        Wording.of(direct[0].upper() + direct[1:]),
        hop1.format(of[0].upper() + of[1:]),
        hop2,
        tuple(bridge.split("|")),
        tuple(answer.split("|")),
    )


_PLACE = ("the country where {} is located", "{} is located in the country of")
_MAKER = ("the company that makes {}", "The company that makes {} is")
_WRITER = ("the author of {}", "{} was written by")
_CAPITAL, _CURRENCY = "The capital of {} is", "The currency of {} is the"
_LANGUAGE, _CONTINENT = "The official language of {} is", "{} is on the continent of"
_CITY, _FOUNDER = "The headquarters of {} are in the city of", "The founder of {} is"
_BORN, _COUNTRY = "{} was born in the city of", "{} was born in the country of"

# Facts that anyone knows: about famous things, so that a wrong answer says something of the form.
CHAINS: tuple[Chain, ...] = tuple(
    _chain(of, noun, hop1, bridge, hop2, answer)
    for (noun, hop1), of, bridge, hop2, answer in (
        (_PLACE, "the Colosseum", "Italy", _CAPITAL, "Rome"),
        (_MAKER, "the iPhone", "Apple|Apple Inc", _CITY, "Cupertino"),
        (_WRITER, "Hamlet", "William Shakespeare|Shakespeare", _COUNTRY, "England|United Kingdom"),
        (_PLACE, "the Taj Mahal", "India", _CURRENCY, "rupee|Indian rupee"),
        (_PLACE, "the Great Wall", "China", _CONTINENT, "Asia"),
        (_PLACE, "the Brandenburg Gate", "Germany", _LANGUAGE, "German"),
        (_MAKER, "Windows", "Microsoft", _FOUNDER, "Bill Gates"),
        (_PLACE, "the Parthenon", "Greece", _CAPITAL, "Athens"),
        (_WRITER, "War and Peace", "Leo Tolstoy|Tolstoy", _COUNTRY, "Russia|Russian Empire"),
        (_PLACE, "Mount Fuji", "Japan", _CURRENCY, "yen|Japanese yen"),
        (_PLACE, "the Louvre", "France", _CAPITAL, "Paris"),
        (_PLACE, "Machu Picchu", "Peru", _LANGUAGE, "Spanish"),
        (_MAKER, "the Mustang", "Ford|Ford Motor Company", _FOUNDER, "Henry Ford"),
        (_PLACE, "the Kremlin", "Russia", _CURRENCY, "ruble|rouble|Russian ruble"),
        (_WRITER, "Oliver Twist", "Charles Dickens|Dickens", _COUNTRY, "England|United Kingdom"),
        (_PLACE, "the Sphinx", "Egypt", _CONTINENT, "Africa"),
        (_PLACE, "Big Ben", "the United Kingdom|England|UK", _CAPITAL, "London"),
        (_PLACE, "the Sagrada Familia", "Spain", _LANGUAGE, "Spanish"),
        (_MAKER, "Photoshop", "Adobe|Adobe Inc|Adobe Systems", _CITY, "San Jose"),
        (_PLACE, "Chichen Itza", "Mexico", _CURRENCY, "peso|Mexican peso"),
        (_PLACE, "the Acropolis", "Greece", _CONTINENT, "Europe"),
        (_PLACE, "Niagara Falls", "Canada", _CAPITAL, "Ottawa"),
        (_WRITER, "Faust", "Johann Wolfgang von Goethe|Goethe", _COUNTRY, "Germany"),
        (_PLACE, "the Forbidden City", "China", _CAPITAL, "Beijing"),
        (_PLACE, "Angkor Wat", "Cambodia", _CONTINENT, "Asia"),
        (_MAKER, "the PlayStation", "Sony", _CITY, "Tokyo"),
        (_PLACE, "the Leaning Tower of Pisa", "Italy", _LANGUAGE, "Italian"),
        (_PLACE, "the Sydney Opera House", "Australia", _CAPITAL, "Canberra"),
        (_WRITER, "Don Quixote", "Miguel de Cervantes|Cervantes", _COUNTRY, "Spain"),
        (_PLACE, "Petra", "Jordan", _CAPITAL, "Amman"),
        (_PLACE, "the Hagia Sophia", "Turkey", _CURRENCY, "lira|Turkish lira"),
        (_MAKER, "Gmail", "Google", _FOUNDER, "Larry Page|Sergey Brin"),
        (_PLACE, "Mount Kilimanjaro", "Tanzania", _CONTINENT, "Africa"),
        (_PLACE, "the Statue of Liberty", "the United States|United States of America|USA", _LANGUAGE, "English"),
        (_WRITER, "Pride and Prejudice", "Jane Austen|Austen", _COUNTRY, "England|United Kingdom"),
        (_PLACE, "the Blue Lagoon", "Iceland", _CAPITAL, "Reykjavik"),
        (_PLACE, "Table Mountain", "South Africa", _CURRENCY, "rand|South African rand"),
        (_MAKER, "the Corolla", "Toyota|Toyota Motor Corporation", _CITY, "Toyota|Toyota City"),
        (_PLACE, "Buckingham Palace", "the United Kingdom|England|UK", _CURRENCY, "pound|pound sterling|British pound"),
        (_PLACE, "the Neuschwanstein Castle", "Germany", _CAPITAL, "Berlin"),
    )
)
