"""What the questions themselves give away: which hops the model knows, and which questions need no two hops at all.

Known hops are the paper's filter (Patchscopes, section 4.4): both hops answered right on their own. It makes two_step
perfect by construction, so filtered figures stand beside unfiltered ones. The shortcut controls ask hop 2 without its
bridge, and the question without hop 1's names; what these answer right is no evidence of two hops.
"""

from __future__ import annotations

from collections.abc import Sequence

from correction.answers import Answer
from correction.corrector import Corrector
from correction.questions import BLANK, Question
from eval.questions import GoldQuestion
from eval.scoring import exact_match


async def known_hops(corrector: Corrector, questions: Sequence[GoldQuestion]) -> list[bool]:
    """Whether the model answers hop 1, and hop 2 with the right bridge in it, each on its own."""
    first = await _right(corrector, [q.hop1 for q in questions], [q.accepted_bridges for q in questions])
    second = await _right(
        corrector, [q.hop2.replace(BLANK, q.bridge) for q in questions], [q.accepted for q in questions]
    )
    return [a and b for a, b in zip(first, second, strict=True)]


async def shortcuts(corrector: Corrector, questions: Sequence[GoldQuestion]) -> list[bool]:
    """Whether a question is answered right without its bridge, or without the names in hop 1."""
    accepted = [q.accepted for q in questions]
    blank = await _right(corrector, [_without(q.hop2, BLANK) for q in questions], accepted)
    nameless = await _right(corrector, [without_names(q.ask().direct_text) for q in questions], accepted)
    return [a or b for a, b in zip(blank, nameless, strict=True)]


def without_names(text: str) -> str:
    """The text less the words after the first that begin with a capital letter or a digit."""
    first, *words = text.split()
    return " ".join([first, *(word for word in words if not (word[0].isupper() or word[0].isdigit()))])


def _without(text: str, part: str) -> str:
    return " ".join(text.replace(part, "").split()) or text


async def _right(corrector: Corrector, texts: Sequence[str], accepted: Sequence[tuple[str, ...]]) -> list[bool]:
    answers = await corrector.answer_all([Question(text, direct=text) for text in texts], "direct")
    return [
        isinstance(answer, Answer) and exact_match(answer.answer, names)
        for answer, names in zip(answers, accepted, strict=True)
    ]
