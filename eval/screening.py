"""What an answer's first token already tells: whether the answer can still be one that a scorer takes for right.

An oracle asks thousands of cells and has the gold in hand, so it decodes only those that can still be right. The screen
may let a wrong answer through, which is then decoded and scored as any other. It never holds a right one back: where a
scorer looks for the answer anywhere in the text, there is no screen (`Scorer.anywhere`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval.questions import GoldQuestion
from eval.scoring import normalise, without_punctuation

_ARTICLES = ("the", "an", "a")
_WORD = re.compile(r"\w+")
_CUT = "\ufffd"  # what a tokenizer of bytes makes of a part of a character


def openings(question: GoldQuestion) -> tuple[str, ...]:
    """The accepted answers as `may_open` compares them: their letters and digits, articles left out."""
    return tuple("".join(_WORD.findall(normalise(name).casefold())) for name in question.accepted)


def may_open(first: str, accepted: Sequence[str]) -> bool:
    """Whether a right answer can begin with a token of this text; `accepted` are the question's `openings`.

    It can if the token's first word begins an accepted answer, or an accepted answer begins that word ("Paris" accepts
    "Parisian" where the rule is that the text begins with it), or the word begins an article. A token without a letter
    decides nothing (an opening quote, a dash, a part of a character), nor does an answer of which normalisation leaves
    nothing ("A").
    """
    found = _WORD.search(without_punctuation(first.partition(_CUT)[0]).casefold())
    if found is None or "" in accepted:
        return True
    word = found[0]
    return any(name.startswith(word) or word.startswith(name) for name in accepted) or any(
        article.startswith(word) for article in _ARTICLES
    )
