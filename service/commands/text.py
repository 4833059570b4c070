"""What people read: an answer as a small block on stdout, talk on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from correction.questions import Question
from service.schemas import AnswerObject


def say(text: str) -> None:
    """Talk: a line on stderr."""
    sys.stderr.write(text + "\n")


def print_answer(answer: AnswerObject, question: Question) -> None:
    """An answer as lines of a name and its value."""
    rows = [("question", question.direct_text)]
    if answer.direct_answer is not None and answer.strategy != "direct":
        rows.append(("direct", answer.direct_answer))
    if answer.bridge is not None:
        rows.append(("bridge", f"{answer.bridge.text} (probability {answer.bridge.probability:.3f})"))
    rows.append(("answer", answer.answer))
    rows.append(("strategy", answer.strategy))
    if (patch := answer.patch) is not None:
        rows.append(("patch", f"layer {patch.source_layer} to layer {patch.target_layer}, {patch.mapping}"))
    if (fallback := answer.fallback) is not None:
        rows.append(("fallback", f"{fallback.strategy} on {fallback.engine}: {fallback.reason}"))
    print_rows(rows, width=10)


def print_rows(rows: Iterable[tuple[str, str]], width: int) -> None:
    """Lines of a name and its value on stdout."""
    sys.stdout.write("".join(f"{name:<{width}}{_printable(value)}\n" for name, value in rows))
    sys.stdout.flush()


def _printable(text: str) -> str:
    """A model's text may hold what a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
