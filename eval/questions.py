"""Questions with their gold: what calibration and evaluation read. Files are JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from correction.errors import InvalidInput
from correction.question_file import read_questions
from correction.questions import Question

_BRIDGED = ("hop1", "hop2", "bridge")


@dataclass(frozen=True)
class GoldQuestion:
    """A question and its answer, for two hops with its bridge, each with accepted aliases.

    A one-hop question leaves `hop1`, `hop2` and `bridge` empty; of a longer chain `bridge` is the first one. Where a
    dataset names no hops, they are read from the question. `type` groups questions in reports; `paraphrases` are
    further wordings of the question, each of which is asked too. `hop1_question` and `hop2_question` put the hops as
    questions, where `hop1` and `hop2` are clozes: for a yardstick that asks.
    """

    id: str
    question: str
    hop1: str = ""
    hop2: str = ""
    bridge: str = ""
    answer: str = ""
    bridge_aliases: tuple[str, ...] = ()
    answer_aliases: tuple[str, ...] = ()
    direct: str | None = None
    type: str = ""
    hop3: str = ""
    hop4: str = ""
    paraphrases: tuple[str, ...] = ()
    hop1_question: str = ""
    hop2_question: str = ""

    def wordings(self) -> tuple[GoldQuestion, ...]:
        """The question in each of its wordings, itself first."""
        return (self, *(replace(self, question=text, direct=None, paraphrases=()) for text in self.paraphrases))

    def ask(self, withhold_hops: bool = False) -> Question:
        """The question as the corrector gets it, without gold; withheld hops must be read from the text."""
        if withhold_hops:
            return Question.from_fields(self.question, id=self.id)
        return Question.from_fields(
            self.question,
            self.hop1 or None,
            self.hop2 or None,
            self.direct,
            self.id,
            hop3=self.hop3 or None,
            hop4=self.hop4 or None,
        )

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every accepted answer."""
        return (self.answer, *self.answer_aliases)

    @property
    def accepted_bridges(self) -> tuple[str, ...]:
        """Every accepted name of the bridge; none where the question has one hop."""
        return (self.bridge, *self.bridge_aliases) if self.bridge else ()


def load_questions(path: Path, limit: int | None = None, *, one_hop: bool = False) -> list[GoldQuestion]:
    """Reads a question file; raises `InvalidInput` naming file, line and field of the first record that is wrong.

    With `one_hop`, records without hops and bridge are taken too.
    """
    questions: list[GoldQuestion] = []
    try:
        with path.open("rb") as stream:
            for line in read_questions(stream, str(path)):
                if isinstance(line.question, InvalidInput):
                    raise line.question
                where = f"{path}, line {line.number}"
                questions.append(gold_question(line.raw, where, f"{path.stem}-{line.number}", one_hop))
                if limit is not None and len(questions) >= limit:
                    break
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="questions") from error
    if not questions:
        raise InvalidInput(f"{path} holds no question", hint="one JSON object a line", param="questions")
    return questions


def save_questions(path: Path, questions: Iterable[GoldQuestion]) -> None:
    """Writes a question file, without the fields that are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{_line(question)}\n" for question in questions), encoding="utf-8")


def digest(questions: Iterable[GoldQuestion]) -> str:
    """A hash of the questions, gold and order included: what a journal or a profile was made from."""
    return sha256("\n".join(map(_line, questions)).encode()).hexdigest()


def _line(question: GoldQuestion) -> str:
    return json.dumps({name: value for name, value in asdict(question).items() if value}, ensure_ascii=False)


def gold_question(record: dict[str, Any], where: str, default_id: str, one_hop: bool) -> GoldQuestion:
    """A question from the fields of a line at `where`; raises `InvalidInput` naming the one that is missing.

    With `one_hop`, a record may be without hops and bridge.
    """
    hopless = one_hop and not any(record.get(field) for field in _BRIDGED)
    for field in ("answer",) if hopless else (*_BRIDGED, "answer"):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise InvalidInput(f"{where}: {field!r} is missing", hint="evaluation needs it as text", param=field)
    return GoldQuestion(
        id=str(record.get("id") or default_id),
        question=record.get("question") or "",
        hop1=record.get("hop1") or "",
        hop2=record.get("hop2") or "",
        bridge=record.get("bridge") or "",
        answer=record["answer"],
        bridge_aliases=tuple(record.get("bridge_aliases") or ()),
        answer_aliases=tuple(record.get("answer_aliases") or ()),
        direct=record.get("direct"),
        type=str(record.get("type") or ""),
        hop3=record.get("hop3") or "",
        hop4=record.get("hop4") or "",
        paraphrases=tuple(record.get("paraphrases") or ()),
        hop1_question=record.get("hop1_question") or "",
        hop2_question=record.get("hop2_question") or "",
    )
