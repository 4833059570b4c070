"""What every harness needs: the questions of a format as plain data, and the answers scored by their dataset's rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from correction.errors import InvalidInput
from correction.prompts import without_full_stop
from eval.datasets import DATASETS, Reading
from eval.datasets.hub import fetched
from eval.demo_world.suite import demo_suite
from eval.questions import GoldQuestion
from eval.scorers import Score, scorer_named

DEMO = "demo"  # the bundled model's test set, which has no path


def read(format: str, path: str | None) -> Iterable[GoldQuestion]:
    """The questions of a file, or of a dataset on the hub. Raises `InvalidInput`."""
    if format == DEMO:
        return demo_suite()["test"]
    if format not in DATASETS:
        hint = f"choose one of {', '.join((DEMO, *DATASETS))}"
        raise InvalidInput(f"unknown format {format!r}", hint=hint, param="format")
    if not path:
        hint = f"""lm_eval: --metadata '{{"{format}": "FILE or ORG/NAME"}}'; inspect: -T questions='FILE or ORG/NAME'"""
        raise InvalidInput(f"there is no path to {format}'s questions", hint=hint, param="questions")
    return Reading(DATASETS[format], fetched(path, DATASETS[format]))


def fields(question: GoldQuestion, format: str) -> dict[str, Any]:
    """What `score` needs to know of the question, as JSON has it."""
    scorer = DATASETS["hopfix" if format == DEMO else format].scorer
    return {"scorer": scorer, **asdict(question)}


def question_of(fields: Mapping[str, Any]) -> GoldQuestion:
    """The question that they were made from."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    del given["scorer"]
    return GoldQuestion(**given)


def score(answer: str, fields: Mapping[str, Any]) -> Score:
    """The answer by the rule of its dataset's authors."""
    return scorer_named(fields["scorer"]).score([without_full_stop(answer.strip())], question_of(fields))
