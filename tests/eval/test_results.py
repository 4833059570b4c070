"""What is counted from predictions, on cases that can be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.columns import SHOWN, Columns
from eval.reproduction import _efficient
from eval.results import _grid, paired_tests, summarise
from eval.statistics import holm


def prediction(id: int, bridge: str, direct: bool, ours: bool, **more: Any) -> dict[str, Any]:
    said = {"direct": direct, "deployed": ours}
    strategies = {
        name: {"text": "yes" if right else "no", "right": right, "f1": float(right)} for name, right in said.items()
    }
    evidence = {"answer": "yes", "confidence": 0.5, "fallback": None}
    given = {"set": "test", "id": str(id), "type": "t", "question": "Q?", "bridge": bridge, "answer": "yes"}
    return {**given, "strategies": strategies, "deployed": evidence, **more}


FOUR = [
    prediction(0, "a", True, True, bridge_tokens=1, known=True, type="s"),
    prediction(1, "a", True, False, bridge_tokens=1, shortcut=True),
    prediction(2, "b", False, True, bridge_tokens=2, cells="0110"),
    prediction(3, "", False, False, cells="0100", deployed={"error": "too long"}),
]


def test_fixed_and_broken_are_counted_against_direct() -> None:
    columns = Columns.of(FOUR)
    table = summarise(columns, np.ones(4, bool), {"direct": 0.25, "deployed": 0.5})
    assert (table["deployed"]["fixed"], table["deployed"]["broken"]) == (1, 1)
    assert (table["direct"]["fixed"], table["direct"]["broken"]) == (0, 0)
    assert (table["deployed"]["accuracy"], table["deployed"]["seconds_per_question"]) == (0.5, 0.5)
    first = summarise(columns, columns.tokens == 1, {})
    assert (first["direct"]["accuracy"], first["deployed"]["broken"], first["direct"]["n"]) == (1.0, 1, 2)
    assert paired_tests(columns)["direct"]["p"] == 1.0


def test_columns_keep_what_reports_ask_for() -> None:
    columns = Columns.of(FOUR)
    assert (columns.known.tolist(), columns.short.tolist()) == (
        [True, False, False, False],
        [False, True, False, False],
    )
    assert len(columns.bridges) == 2
    assert len(set(columns.clusters.tolist())) == 3, "a question without a bridge stands for itself"
    assert columns.cells is not None
    assert (columns.cells.tolist(), columns.gridded) == ([0, 2, 1, 0], 2)
    assert columns.fallbacks == {"failed": 1}
    assert columns.confidence.tolist() == [0.5, 0.5, 0.5, 0.0]
    assert columns.of_type("s").tolist() == [True, False, False, False]
    assert {kind: [r["id"] for r in records] for kind, records in columns.examples.items()} == {
        "fixed": ["2"],
        "broken": ["1"],
    }


def test_the_grid_says_which_layers_its_rows_and_columns_are() -> None:
    deep = [prediction(0, "a", True, True, cells=cells, layers=[[7, 14], [0, 7]]) for cells in ("0100", "1100")]
    assert _grid(Columns.of(deep)) == {
        "n": 2, "accuracy": [[0.5, 1.0], [0.0, 0.0]], "sources": [7, 14], "targets": [0, 7]
    }  # fmt: skip
    older = _grid(Columns.of(FOUR))
    assert older == {"n": 2, "accuracy": [[0.0, 1.0], [0.5, 0.0]], "sources": [1, 2], "targets": [0, 1]}
    assert _grid(Columns.of(FOUR[:2])) is None


def test_a_source_layer_below_its_target_layer_is_told_by_the_layers_not_by_their_places() -> None:
    def efficient(cells: str, **layers: Any) -> bool:
        return _efficient(prediction(0, "a", True, True, cells=cells, **layers))

    deep = {"layers": [[7, 14], [0, 9]]}
    assert [efficient(cells, **deep) for cells in ("1000", "0100", "0010", "0001")] == [False, True, False, False]
    assert not any(efficient(cells) for cells in ("1000", "0100", "0010", "0001")), "of two layers 1 can go to 0 and 1"
    assert [efficient("001000000"), efficient("010000000")] == [True, False], "of three layers, 1 to 2 and 1 to 1"
    assert not _efficient(FOUR[0]), "a question without cells"


def test_only_a_few_examples_are_kept() -> None:
    columns = Columns.of(prediction(n, "a", False, True) for n in range(SHOWN + 5))
    assert len(columns.examples["fixed"]) == SHOWN


def test_without_deployed_there_is_nothing_to_pair() -> None:
    assert (
        paired_tests(
            Columns.of([{**FOUR[0], "strategies": {"direct": FOUR[0]["strategies"]["direct"]}, "deployed": None}])
        )
        == {}
    )


def test_holm_corrects_for_the_number_of_tests() -> None:
    """Holm's own rule by hand: 3 x 0.01, then 2 x 0.02, then 0.03, none below the one before it."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
