"""Question files: a line that cannot be used is named with its number, its field and what to do."""

from __future__ import annotations

import json

import pytest

from correction.errors import InvalidInput
from correction.question_file import Line, read_questions
from correction.questions import Question


def read(*lines: bytes) -> list[Line]:
    return list(read_questions(lines, "q.jsonl"))


def test_lines_become_questions_with_their_gold_beside_them() -> None:
    fields = {"id": "q1", "question": "Q?", "answer": "rand", "answer_aliases": ["ZAR"], "type": "currency"}
    [line] = read(json.dumps(fields).encode())
    assert line.question == Question("Q?", id="q1")
    assert line.raw == fields


def test_blank_lines_are_skipped_and_counted_and_a_byte_order_mark_is_let_be() -> None:
    first, third = read(b'\xef\xbb\xbf{"question": "A"}\n', b"  \n", b'{"question": "B"}\r\n')
    assert (first.number, third.number) == (1, 3)
    assert isinstance(first.question, Question)


@pytest.mark.parametrize(
    ("line", "says", "param"),
    [
        (b"nope", "not JSON", None),
        (b'{"question": "A"', "not JSON", None),
        (b"[1]", "the line is a list, not an object", None),
        (b"null", "the line is null, not an object", None),
        (b'{"question": "\xff"}', "byte 15 is not UTF-8", None),
        (b'{"question": 7}', "question is a number", "question"),
        (b'{"id": 7, "question": "A"}', "id is a number", "id"),
        (b'{"question": " "}', "the question is empty", "question"),
        (b"{}", "the question is empty", "question"),
        (b'{"hop1": "A is"}', "hop2 is missing", "hop2"),
        (b'{"hop1": "A is", "hop2": "B is"}', "hop2 has 0 blanks", "hop2"),
        (b'{"hop1": "A is", "hop2": "{} {}"}', "hop2 has 2 blanks", "hop2"),
        (b'{"question": "A", "answer": ["a"]}', "answer is a list", "answer"),
        (b'{"question": "A", "answer_aliases": "a"}', "answer_aliases is not a list of strings", "answer_aliases"),
        (rb'{"question": "\ud800"}', "question holds half a surrogate pair", "question"),
        (b"[" * 100_000, "not usable JSON", None),
    ],
)
def test_what_is_wrong_with_a_line(line: bytes, says: str, param: str | None) -> None:
    good, bad = read(b'{"question": "A"}', line)
    assert isinstance(good.question, Question)
    assert isinstance(bad.question, InvalidInput)
    assert bad.question.message.startswith(f"q.jsonl, line 2: {says}")
    assert bad.question.param == param


def test_an_error_keeps_the_id_where_it_can() -> None:
    lines = read(b'{"id": "a", "question": ""}', b'{"id": 7, "question": ""}', rb'{"id": "\ud800"}')
    assert [line.id for line in lines] == ["a", None, None]
