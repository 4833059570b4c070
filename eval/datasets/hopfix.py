"""Our own question files: JSON lines, the contract of the design, section 7."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correction.errors import InvalidInput
from correction.question_file import read_questions
from eval.datasets.base import Asked, Dataset
from eval.questions import gold_question


def read(path: Path) -> Iterator[Asked]:
    """Two-hop questions with their gold, and one-hop ones, which have no bridge."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="questions") from error
    with stream:
        for line in read_questions(stream, str(path)):
            if isinstance(line.question, InvalidInput):
                yield line.question
                continue
            try:
                yield gold_question(line.raw, f"{path}, line {line.number}", f"{path.stem}-{line.number}", one_hop=True)
            except InvalidInput as error:
                yield error


HOPFIX = Dataset("hopfix", "question file", read)
