"""How each dataset's authors decide whether an answer is right: a scorer a rule, from text and gold to a score.

Every rule was compared with its published code on a table of edge cases (tests/data/scoring.json says which code). A
question with several wordings is right if one of its answers is, as MQuAKE counts; other datasets have one wording.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from text_unidecode import unidecode

from correction.errors import InvalidInput
from eval.questions import GoldQuestion
from eval.scoring import exact_match, f1, normalise

_CLOSED = ("yes", "no", "noanswer")
_ABBREVIATION = re.compile(r"(?<=\b[A-Z])\. (?=[A-Z]\.)")
_ARTICLE = re.compile(r"\b(the|an|a)\b(?=\s)")
_SPACED = str.maketrans(string.punctuation, " " * len(string.punctuation))
_CHOICES = tuple(tuple(f"{name}{mark}" for name in names) for names in ("ABC", "123") for mark in (".", ")"))


class Score(NamedTuple):
    """Whether the answer is right by the rule, and its token F1, a fraction."""

    right: bool
    f1: float


Rule = Callable[[str, GoldQuestion], Score]


@dataclass(frozen=True)
class Scorer:
    """A rule by its name. `says` is a line for reports, with its source.

    anywhere: the answer may stand anywhere in a right text, so that the text's beginning tells nothing of it.
    """

    name: str
    says: str
    rule: Rule
    anywhere: bool = False

    def score(self, texts: Sequence[str], question: GoldQuestion) -> Score:
        """The best of the answers to the question's wordings."""
        scores = [self.rule(text, question) for text in texts]
        return Score(any(score.right for score in scores), max((score.f1 for score in scores), default=0.0))


def _squad(text: str, question: GoldQuestion) -> Score:
    return Score(exact_match(text, question.accepted), f1(text, question.accepted))


def _musique(text: str, question: GoldQuestion) -> Score:
    """As SQuAD 2 does, an answer of which normalisation leaves nothing equals a gold of which it leaves nothing."""
    said, accepted = normalise(text), [normalise(name) for name in question.accepted]
    nothing = not said and "" in accepted
    return Score(said in accepted, 1.0 if nothing else f1(text, question.accepted))


def _hotpotqa(text: str, question: GoldQuestion) -> Score:
    """F1 is 0 where one of the two is yes or no and the other something else."""
    said = normalise(text)
    golds = [normalise(name) for name in question.accepted]
    fair = (name for name, gold in zip(question.accepted, golds, strict=True) if _comparable(said, gold))
    return Score(said in golds, f1(text, fair))


def _comparable(said: str, gold: str) -> bool:
    return said == gold or not (said in _CLOSED or gold in _CLOSED)


def _mquake(text: str, question: GoldQuestion) -> Score:
    return Score(text.rstrip() in question.accepted, f1(text, question.accepted))


def _twohopfact(text: str, question: GoldQuestion) -> Score:
    return Score(text.strip().startswith(question.accepted), f1(text, question.accepted))


def _popqa(text: str, question: GoldQuestion) -> Score:
    line = text.removeprefix("\n\n").partition("\n")[0]
    found = any(form in line for name in question.accepted for form in (name, name.lower(), name.capitalize()))
    return Score(found, f1(text, question.accepted))


def _prefix(text: str, question: GoldQuestion) -> Score:
    said = text.lower().strip()
    found = bool(said) and any(name.lower().strip().startswith(said) for name in question.accepted)
    return Score(found, f1(text, question.accepted))


def _contains(text: str, question: GoldQuestion) -> Score:
    names = (question.answer, *(name for name in question.answer_aliases if len(name) > 1))
    said = text.strip().replace("\n", " ").lower()
    return Score(any(name.lower() in said for name in names), f1(text, question.accepted))


def _patchscopes(text: str, question: GoldQuestion) -> Score:
    said = text.replace(" ", "")
    return Score(any(name.replace(" ", "") in said for name in question.accepted), f1(text, question.accepted))


def _socrates(text: str, question: GoldQuestion) -> Score:
    """Whole words of an answer are in the text, no bridge is spelled before it, and no choice of three is offered."""
    said = _plain(text)
    answers, bridges = _plains(question.accepted), _plains(question.accepted_bridges)
    matched = any(re.search(rf"\b{re.escape(name)}\b", said) for name in answers)
    first = min((at for name in answers if (at := said.find(name)) >= 0), default=-1)
    bridge = min((at for name in bridges if (at := said.find(name)) >= 0), default=len(said))
    multiple = any(all(mark in text for mark in marks) for marks in _CHOICES)
    return Score(matched and first <= bridge and not multiple, f1(text, question.accepted))


def _plains(names: Iterable[str]) -> list[str]:
    return [plain for name in names if (plain := _plain(name))]


def _plain(text: str) -> str:
    lowered = unidecode(_ABBREVIATION.sub(".", text.strip()).lower())
    return " ".join(_ARTICLE.sub("", lowered).translate(_SPACED).split())


SCORERS = {
    scorer.name: scorer
    for scorer in (
        Scorer("squad", "exact match after SQuAD's normalisation, over aliases (Rajpurkar et al. 2016)", _squad),
        Scorer("hotpotqa", "HotpotQA's exact match and F1, over aliases as 2WikiMultihopQA takes them", _hotpotqa),
        Scorer("musique", "MuSiQue's exact match and F1, the best over aliases", _musique),
        Scorer("mquake", "equal to the answer or an alias, to the letter, in any of the wordings (MQuAKE)", _mquake),
        Scorer("twohopfact", "the text begins with the answer or an alias, to the letter (TwoHopFact)", _twohopfact),
        Scorer("popqa", "an accepted answer stands in the text (PopQA)", _popqa, anywhere=True),
        Scorer("prefix", "a prefix of the answer, whatever its case (LRE)", _prefix),
        Scorer(
            "contains", "the answer stands in the text, whatever its case (Hopping Too Late)", _contains, anywhere=True
        ),
        Scorer(
            "patchscopes",
            "the answer stands in the text, blanks aside (Patchscopes' notebook)",
            _patchscopes,
            anywhere=True,
        ),
        Scorer(
            "socrates",
            "an answer's words stand in the text, and no bridge before them (SOCRATES)",
            _socrates,
            anywhere=True,
        ),
    )
}


def scorer_named(name: str) -> Scorer:
    """The scorer of this name; raises `InvalidInput`."""
    if name not in SCORERS:
        raise InvalidInput(f"unknown scoring {name!r}", hint=f"choose one of {', '.join(SCORERS)}", param="scoring")
    return SCORERS[name]
