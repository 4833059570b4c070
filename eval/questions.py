"""Questions with their gold: what calibration and evaluation read. The format is that of the design, section 7."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from correction.errors import InvalidInput
from correction.question_file import read_questions
from correction.questions import Question


@dataclass(frozen=True)
class GoldQuestion:
    """A question, its bridge and its answer, each with accepted aliases. `type` groups questions in reports."""

    id: str
    question: str
    hop1: str
    hop2: str
    bridge: str
    answer: str
    bridge_aliases: tuple[str, ...] = ()
    answer_aliases: tuple[str, ...] = ()
    direct: str | None = None
    type: str = ""

    def ask(self, withhold_hops: bool = False) -> Question:
        """The question as the corrector gets it, without gold; withheld hops must be read from the text."""
        if withhold_hops:
            return Question.from_fields(self.question, id=self.id)
        return Question.from_fields(self.question, self.hop1, self.hop2, self.direct, self.id)

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every accepted answer."""
        return (self.answer, *self.answer_aliases)

    @property
    def accepted_bridges(self) -> tuple[str, ...]:
        """Every accepted name of the bridge."""
        return (self.bridge, *self.bridge_aliases)


def load_questions(path: Path, limit: int | None = None) -> list[GoldQuestion]:
    """Reads a question file; raises `InvalidInput` naming file, line and field of the first record that is wrong."""
    questions: list[GoldQuestion] = []
    try:
        with path.open("rb") as stream:
            for line in read_questions(stream, str(path)):
                if isinstance(line.question, InvalidInput):
                    raise line.question
                questions.append(_gold(line.raw, f"{path}, line {line.number}", f"{path.stem}-{line.number}"))
                if limit is not None and len(questions) >= limit:
                    break
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="questions") from error
    if not questions:
        raise InvalidInput(f"{path} holds no question", hint="one JSON object a line", param="questions")
    return questions


def save_questions(path: Path, questions: Iterable[GoldQuestion]) -> None:
    """Writes a question file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(question), ensure_ascii=False) for question in questions)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _gold(record: dict[str, Any], where: str, default_id: str) -> GoldQuestion:
    for field in ("hop1", "hop2", "bridge", "answer"):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise InvalidInput(f"{where}: {field!r} is missing", hint="evaluation needs it as text", param=field)
    return GoldQuestion(
        id=str(record.get("id") or default_id),
        question=record.get("question") or "",
        hop1=record["hop1"],
        hop2=record["hop2"],
        bridge=record["bridge"],
        answer=record["answer"],
        bridge_aliases=tuple(record.get("bridge_aliases") or ()),
        answer_aliases=tuple(record.get("answer_aliases") or ()),
        direct=record.get("direct"),
        type=str(record.get("type") or ""),
    )
