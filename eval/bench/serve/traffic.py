"""What clients ask for, and what is wrong with what they get: every answer is checked against its own question."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.bench.serve.http import Reply

RIGHT, WRONG, CROSSED = "right", "wrong", "crossed"  # crossed: another question's answer
LOST, LATE, FAILED = "lost", "timed out", "failed"  # failed: 5xx, or an error where an answer should be
TURNED_AWAY, REFUSED, GONE = "turned away", "refused", "gone"  # 429; a bad request's 4xx; the client left
UNEXPECTED = "unexpected"  # a status that is none of these, or a body that is no answer


@dataclass(frozen=True)
class Asked:
    """A question and what the same engine says to it offline: `answer`, and what strategies say beside it.

    hop1: as the evidence shows it. prompts: of the text pipeline, with {} for the bridge in the second. cloze: asks the
    same of the model as it is; the answer of `direct` is to that.
    """

    text: str
    hop1: str
    prompts: tuple[str, str]
    cloze: str
    answer: str
    corrected: bool
    beside: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """What became of a request, and how many questions it answered rightly."""

    name: str
    answers: int = 0
    detail: str = ""


def judge_status(reply: Reply) -> Verdict | None:
    """None for a reply that must be read; its status says all of the others."""
    if reply.status == 200:
        return None
    name = TURNED_AWAY if reply.status == 429 else FAILED if reply.status >= 500 else UNEXPECTED
    return Verdict(name, detail="" if name == TURNED_AWAY else f"{reply.status}: {reply.body[:300]!r}")


def judge_object(answer: Any, asked: Asked, id: str | None) -> Verdict:
    """One answer object."""
    if "error" in answer:
        return judge_error(answer["error"])
    if answer["id"] != id or not of_question(answer, asked):
        return Verdict(CROSSED, detail=f"{asked.text!r} as {id} got {answer}")
    if (answer["answer"], answer["corrected"]) != (asked.answer, asked.corrected):
        return Verdict(WRONG, detail=f"{asked.text!r} got {answer['answer']!r}, offline {asked.answer!r}")
    return Verdict(RIGHT, 1)


def judge_error(error: Any) -> Verdict:
    """An error where an answer should be: of a list, or in a stream."""
    return Verdict(TURNED_AWAY) if error["code"] == "overloaded" else Verdict(FAILED, detail=str(error))


def of_question(evidence: Any, asked: Asked) -> bool:
    """Whether the evidence tells of this question's first hop, where it tells of one."""
    hops = evidence.get("hops") if isinstance(evidence, dict) else None
    return not hops or hops[0]["prompt"] == asked.hop1


def judge_text(text: str, expected: str, evidence: Any, asked: Asked) -> Verdict:
    """The text of an OpenAI answer and hopfix's evidence beside it."""
    if not of_question(evidence, asked):
        return Verdict(CROSSED, detail=f"{asked.text!r} got the evidence {evidence}")
    if plain(text) != plain(expected):
        return Verdict(WRONG, detail=f"{asked.text!r} got {text!r}, offline {expected!r}")
    return Verdict(RIGHT, 1)


def judge_list(answers: Sequence[Any], asked: Sequence[Asked], ids: Sequence[str]) -> Verdict:
    """As many answer objects as questions, in order. The first fault stands for all, else what was turned away."""
    if len(answers) != len(asked):
        return Verdict(LOST, detail=f"{len(answers)} answers to {len(asked)} questions: {answers[-1:]}")
    verdicts = [judge_object(answer, one, id) for answer, one, id in zip(answers, asked, ids, strict=True)]
    right = sum(verdict.answers for verdict in verdicts)
    if fault := next((verdict for verdict in verdicts if verdict.name not in (RIGHT, TURNED_AWAY)), None):
        return fault
    return Verdict(RIGHT if right == len(asked) else TURNED_AWAY, right)


def lines_of(reply: Reply) -> list[Any]:
    """The objects of a body of JSON lines."""
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def events_of(reply: Reply) -> tuple[list[Any], bool]:
    """The objects of a body of server-sent events, and whether it ends as OpenAI's do."""
    data = [line[5:].strip() for line in reply.body.split(b"\n") if line.startswith(b"data:")]
    done = bool(data) and data[-1] == b"[DONE]"
    return [json.loads(one) for one in data if one != b"[DONE]"], done


def plain(text: str) -> str:
    """As answers are shown: a completion has the space before the answer and the full stop after it."""
    return text.strip().rstrip(".")
