"""What the questions themselves give away: which hops the model knows, and which questions need no two hops at all.

Known hops are the paper's filter (Patchscopes, section 5): both hops answered right on their own. It makes two_step
perfect by construction, so filtered figures stand beside unfiltered ones. The shortcut controls ask hop 2 without its
bridge, and the question without hop 1's names; what these answer right is no evidence of two hops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from correction.answers import Answer
from correction.questions import BLANK, Question
from eval.answerer import Answerer
from eval.questions import GoldQuestion
from eval.scorers import SCORERS, Scorer

_EXACT = SCORERS["squad"]


async def known_hops(answerer: Answerer, questions: Sequence[GoldQuestion], scorer: Scorer = _EXACT) -> list[bool]:
    """Whether the model answers hop 1, and hop 2 with the right bridge in it, each on its own.

    False where the two hops are not given, or where there are more: then this filter says nothing.
    """
    marks = [False] * len(questions)
    two = [n for n, q in enumerate(questions) if q.hop1 and q.bridge and not q.hop3]
    bridges = [
        replace(questions[n], answer=questions[n].bridge, answer_aliases=questions[n].bridge_aliases, bridge="")
        for n in two
    ]
    first = await _right(answerer, [questions[n].hop1 for n in two], bridges, scorer)
    answers = [replace(questions[n], bridge="") for n in two]  # the bridge stands in the question here
    asked = [questions[n].hop2.replace(BLANK, questions[n].bridge) for n in two]
    second = await _right(answerer, asked, answers, scorer)
    for n, one, other in zip(two, first, second, strict=True):
        marks[n] = one and other
    return marks


async def shortcuts(answerer: Answerer, questions: Sequence[GoldQuestion], scorer: Scorer = _EXACT) -> list[bool]:
    """Whether a question is answered right without its bridge (its last hop alone), or without the names in hop 1."""
    last = [_without(q.hop4 or q.hop3 or q.hop2, BLANK) for q in questions]
    nameless = await _right(answerer, [without_names(q.ask().direct_text) for q in questions], questions, scorer)
    hops = [n for n, text in enumerate(last) if text]
    blank = await _right(answerer, [last[n] for n in hops], [questions[n] for n in hops], scorer)
    for n, right in zip(hops, blank, strict=True):
        nameless[n] |= right
    return nameless


def without_names(text: str) -> str:
    """The text less the words after the first that begin with a capital letter or a digit."""
    first, *words = text.split()
    return " ".join([first, *(word for word in words if not (word[0].isupper() or word[0].isdigit()))])


def _without(text: str, part: str) -> str:
    return " ".join(text.replace(part, "").split()) or text


async def _right(
    answerer: Answerer, texts: Sequence[str], questions: Sequence[GoldQuestion], scorer: Scorer
) -> list[bool]:
    answers = await answerer.answer_all([Question(text, direct=text) for text in texts], "direct")
    return [
        isinstance(answer, Answer) and scorer.score([answer.answer], question).right
        for answer, question in zip(answers, questions, strict=True)
    ]
