"""Which answer to return, when the plain one was asked for as well: without gold, from what each showed of itself.

The plain answer stays unless another is surer by the profile's margin: calibration sets it so that hardly anything that
the model says right by itself is broken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from correction.confidence import Confidence, Signs

_LEADING = re.compile(r"^(?:the|a|an) ")
_OUTER = " .,'\"’‘“”"


@dataclass(frozen=True)
class Judged:
    """An answer that could be returned, and what it showed of itself."""

    text: str
    signs: Signs


@dataclass(frozen=True)
class Comparison:
    """The plain answer and the surest other one. kept: the candidate that says what the plain answer says, None if
    none does. plain: how sure the plain answer is. rival: the surest candidate that says something else, None if there
    is none, and `surest`, how sure that is."""

    kept: int | None
    plain: float
    rival: int | None
    surest: float

    def overrules(self, margin: float) -> bool:
        """Whether the rival is to be returned."""
        return self.rival is not None and self.surest > self.plain + margin


def compared(candidates: Sequence[Judged], plain: Judged, confidence: Confidence) -> Comparison:
    """How sure each is once all are known; an empty answer is none."""
    sure = [confidence.of(beside(candidate, plain)) for candidate in candidates]
    alike = [number for number, candidate in enumerate(candidates) if same(candidate.text, plain.text)]
    others = [number for number, candidate in enumerate(candidates) if candidate.text and number not in alike]
    rival = max(others, key=lambda number: sure[number], default=None)
    surest = 0.0 if rival is None else sure[rival]
    if not plain.text:
        return Comparison(None, -1.0, rival, surest)
    if alike:
        return Comparison(alike[0], sure[alike[0]], rival, surest)
    return Comparison(None, confidence.of(kept_signs(candidates, plain)), rival, surest)


def beside(candidate: Judged, plain: Judged) -> Signs:
    """A candidate's signs once the plain answer is known."""
    agrees = same(candidate.text, plain.text)
    share = 0.5 + plain.signs.answer / 2 if agrees else 0.5 - plain.signs.answer / 2
    return replace(candidate.signs, route="compared", plain=share)


def kept_signs(candidates: Sequence[Judged], plain: Judged) -> Signs:
    """The plain answer's signs where no candidate says the same: what the likeliest of them leaves it."""
    rival = max((candidate.signs.product for candidate in candidates), default=0.0)
    first = candidates[0].signs.first if candidates else None
    return Signs("kept", plain.signs.answer, 1 - min(1.0, rival), first)


def same(one: str, other: str) -> bool:
    """Whether two answers are the same name, case, a leading article and outer punctuation aside."""
    return normal(one) == normal(other)


def normal(text: str) -> str:
    """The form by which answers are told apart."""
    return _LEADING.sub("", text.lower().strip(_OUTER))
