"""Reads question files: JSON lines, one question a line.

A line that cannot be used is an error beside its number, not the end of the file: the reader decides what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from correction.errors import InvalidInput
from correction.questions import Question

ASKED = ("id", "question", "hop1", "hop2", "hop3", "hop4", "direct")
TEXTS = (*ASKED, "bridge", "answer", "hop1_question", "hop2_question")
LISTS = ("bridge_aliases", "answer_aliases", "paraphrases")
_HINT = 'write one object a line, such as {"question": "..."} or {"hop1": "...", "hop2": "... {} ..."}'


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, the question or what is wrong with it, and all of its fields (gold included)."""

    number: int
    question: Question | InvalidInput
    raw: dict[str, Any]

    @property
    def id(self) -> str | None:
        """The line's id where it has a usable one, also beside an error."""
        if isinstance(self.question, Question):
            return self.question.id
        given = self.raw.get("id")
        return given if isinstance(given, str) and _encodable(given) else None


def read_questions(lines: Iterable[bytes], name: str) -> Iterator[Line]:
    """The questions of a file called `name`, lazily and in order; blank lines are skipped."""
    for number, given in enumerate(lines, start=1):
        line = given.removeprefix(b"\xef\xbb\xbf") if number == 1 else given
        if not line.strip():
            continue
        raw: dict[str, Any] = {}
        question: Question | InvalidInput
        try:
            raw = _object(line)
            question = question_of(raw)
        except InvalidInput as error:
            question = InvalidInput(f"{name}, line {number}: {error.message}", hint=error.hint, param=error.param)
        yield Line(number, question, raw)


def question_of(fields: Mapping[str, Any]) -> Question:
    """A question from a file's fields; raises `InvalidInput` naming the field. Fields it does not know are let be."""
    for name in TEXTS:
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{name} is {_kind(value)}", hint="write a string in quotes", param=name)
        if value is not None and not _encodable(value):
            raise InvalidInput(f"{name} holds half a surrogate pair", hint="write valid Unicode", param=name)
    for name in LISTS:
        value = fields.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
            raise InvalidInput(f"{name} is not a list of strings", hint='write ["...", "..."]', param=name)
    return Question.from_fields(**{name: fields.get(name) for name in ASKED})


def _object(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode().rstrip()  # or what is missing at the end is said to be on the next line
    except UnicodeDecodeError as error:
        raise InvalidInput(f"byte {error.start + 1} is not UTF-8", hint="save the file as UTF-8") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not JSON ({error.msg} at column {error.colno})", hint=_HINT) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not usable JSON ({error})", hint=_HINT) from None
    if not isinstance(value, dict):
        raise InvalidInput(f"the line is {_kind(value)}, not an object", hint=_HINT)
    return value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def _encodable(text: str) -> bool:
    """JSON can spell half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
