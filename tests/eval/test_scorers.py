"""Every scorer against its dataset's published code: what that code gave for hand-made cases is in a table."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eval.questions import GoldQuestion
from eval.scorers import SCORERS

TABLE = json.loads((Path(__file__).parents[1] / "data" / "scoring.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(set(SCORERS) - {"squad"}))
def test_a_scorer_agrees_with_the_published_one(name: str) -> None:
    cases: list[dict[str, Any]] = [case for case in TABLE["cases"] if case["scorer"] == name]
    assert name in TABLE["sources"]
    assert Counter(case["right"] for case in cases).most_common()[1][1] >= 10, "both outcomes"
    for case in cases:
        question = GoldQuestion(
            "1",
            "Q?",
            answer=case["answer"],
            answer_aliases=tuple(case["aliases"]),
            bridge=case.get("bridge", ""),
            bridge_aliases=tuple(case.get("bridge_aliases", ())),
        )
        score = SCORERS[name].score([case["prediction"]], question)
        assert score.right == case["right"], case
        assert score.f1 == pytest.approx(case.get("f1", score.f1)), case


def test_any_of_the_wordings_counts() -> None:
    question = GoldQuestion("1", "Q?", answer="Paris", paraphrases=("P?", "R?"))
    assert SCORERS["mquake"].score(["Rome", "Oslo", "Paris"], question) == (True, 1.0)
    assert SCORERS["mquake"].score(["Rome", "Oslo", "paris"], question).right is False
    assert SCORERS["squad"].score([], question) == (False, 0.0)
