"""What the YAML files beside this one name.

The harness gives a task's function everything of `--metadata`, in which the path of a dataset stands under the name of
its format, as in `--metadata '{"musique": "musique_dev.jsonl"}'`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from datasets import Dataset, DatasetDict

from correction.prompts import as_prompt
from correction.questions import BLANK
from eval.harnesses import gold

CHOICES = 4


def questions(format: str, **metadata: Any) -> DatasetDict:
    """The questions, each with its `prompt`: what `hopfix eval --url` sends for direct."""
    return _split(
        {"prompt": as_prompt(question.ask().direct_text), "gold": gold.fields(question, format)}
        for question in gold.read(format, metadata.get(format))
    )


def hops(format: str, **metadata: Any) -> DatasetDict:
    """Both hops of the questions, each once, as a cloze with four choices: the right one and three of its kind."""
    asked: dict[str, tuple[str, str]] = {}  # a hop's cloze -> its kind and its answer
    for question in gold.read(format, metadata.get(format)):
        asked[question.hop1] = (f"{question.type}, hop 1", question.bridge)
        asked[question.hop2.replace(BLANK, question.bridge)] = (f"{question.type}, hop 2", question.answer)
    answers = defaultdict(set)
    for kind, answer in asked.values():
        answers[kind].add(answer)
    draw = random.Random(0)
    items = []
    for cloze, (kind, answer) in asked.items():
        others = sorted(answers[kind] - {answer})
        if len(others) >= CHOICES - 1:
            choices = draw.sample([answer, *draw.sample(others, CHOICES - 1)], CHOICES)
            items.append({"cloze": cloze, "choices": choices, "label": choices.index(answer)})
    return _split(items)


def score(item: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer is right by the dataset's own rule, and its token F1."""
    right, f1 = gold.score(results[0], item["gold"])
    return {"right": float(right), "f1": f1}


def _split(items: Iterable[dict[str, Any]]) -> DatasetDict:
    return DatasetDict(test=Dataset.from_list(list(items)))
