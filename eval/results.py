"""From a run's predictions to its results: tables with intervals, paired tests, what was broken, what confidence is
worth. A function of the predictions alone, so that shards, merged, have the results of the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.columns import Columns, Marks
from eval.confidence_report import confidence_summary
from eval.run import Run
from eval.statistics import bootstrap_interval, holm, mcnemar, paired_interval
from eval.suite import ANSWERABLE, MIX, SETS

KEEP = 400  # the first right ones of the keep set
TYPES = 40  # shown in the table of types, the most frequent first


def results_of(run: Run) -> dict[str, Any]:
    """Everything that the predictions say, as plain data."""
    sets = _columns(run)
    test = sets["test"]
    everything = np.ones(len(test), bool)
    seconds = _seconds_per_question(run, "test")
    masks = {
        "All bridges": everything,
        "One-token bridges": test.tokens == 1,
        "Several-token bridges": test.tokens > 1,
        "Both hops known (the paper's filter)": test.known,
        "Without questions that a shortcut answers": ~test.short,
    }
    tables = {name: summarise(test, mask, seconds) for name, mask in masks.items() if mask.any()}
    results: dict[str, Any] = {
        "strategies": tables["All bridges"],
        "tables": tables,
        "types": _types(test),
        "known": int(test.known.sum()),
        "shortcuts": int(test.short.sum()),
        "paired": paired_tests(test),
        "fallbacks": dict(test.fallbacks),
        "n": len(test),
        "bridges": len(test.bridges),
        "faults": {name: end["faults"] for name in sets if (end := run.journal.done(name)) and end["faults"]},
        "fault_messages": [text for name in sets for text in (run.journal.done(name) or {}).get("shown", [])],
        "examples": test.examples,
        "grid": _grid(test),
    }
    for name in ("keep", "unknown", "one_hop", "chains"):
        if name in sets:
            given = sets[name]
            results[name] = summarise(given, np.ones(len(given), bool), _seconds_per_question(run, name))
    if "uncertain" in sets:
        given = sets["uncertain"]
        results["uncertain"] = {
            "table": summarise(given, np.ones(len(given), bool), _seconds_per_question(run, "uncertain")),
            "paired": paired_tests(given),
            "of": sum(note["asked"] for note in run.notes("uncertain")),
        }
    if all(name in sets and "deployed" in sets[name].strategies for name in MIX):
        results["confidence"] = _confidence({name: sets[name] for name in MIX})
    return results


def summarise(columns: Columns, mask: Marks, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Of the questions in the mask: strategy -> accuracy, n, ci95, fixed, broken, seconds_per_question, f1."""
    direct = columns.column("direct").right[mask]
    clusters = columns.clusters[mask]
    table: dict[str, Any] = {}
    for name in columns.strategies:
        column = columns.column(name)
        right = column.right[mask]
        table[name] = {
            "accuracy": float(right.mean()) if len(right) else 0.0,
            "n": len(right),
            "ci95": list(bootstrap_interval(right.astype(float), clusters)),
            "fixed": int((right & ~direct).sum()),
            "broken": int((direct & ~right).sum()),
            "seconds_per_question": seconds.get(name, 0.0),
            "f1": float(column.f1[mask].mean()) if len(right) else 0.0,
        }
    return table


def paired_tests(columns: Columns, against: str = "deployed") -> dict[str, dict[str, Any]]:
    """`against` and every other strategy on the same questions: difference of accuracies with its interval, McNemar's
    exact p-value, that value corrected for the number of strategies (Holm 1979), and how many questions only one of the
    two gets right. Empty where `against` was not asked."""
    if against not in columns.strategies:
        return {}
    ours, clusters = columns.column(against).right, columns.clusters
    pairs: dict[str, dict[str, Any]] = {}
    for name in columns.strategies:
        if name == against:
            continue
        other = columns.column(name).right
        pairs[name] = {
            "difference": float(ours.mean() - other.mean()) if len(ours) else 0.0,
            "ci95": list(paired_interval(ours.astype(float), other.astype(float), clusters)),
            "p": mcnemar(ours, other),
            "only_deployed": int((ours & ~other).sum()),
            "only_other": int((other & ~ours).sum()),
        }
    for pair, corrected in zip(pairs.values(), holm([pair["p"] for pair in pairs.values()]), strict=True):
        pair["p_holm"] = corrected
    return pairs


def _columns(run: Run) -> dict[str, Columns]:
    """The sets that have predictions; of the keep set the first `KEEP`."""
    sets: dict[str, Columns] = {}
    for record in run.predictions():
        columns = sets.setdefault(record["set"], Columns())
        if record["set"] != "keep" or len(columns) < KEEP:
            columns.add(record)
    return {name: sets[name] for name in SETS if name in sets}


def _seconds_per_question(run: Run, name: str) -> dict[str, float]:
    total: dict[str, float] = {}
    questions = 0
    for note in run.notes(name):
        questions += note["predicted"]
        for strategy, seconds in note["seconds"].items():
            total[strategy] = total.get(strategy, 0.0) + seconds
    return {strategy: seconds / max(1, questions) for strategy, seconds in total.items()}


def _types(columns: Columns) -> list[dict[str, Any]]:
    """The accuracies of each type of question, where there are several."""
    found: list[dict[str, Any]] = []
    for name in columns.types:
        mask = columns.of_type(name)
        accuracy = {s: float(columns.column(s).right[mask].mean()) for s in columns.strategies}
        found.append({"type": name, "n": int(mask.sum()), "accuracy": accuracy})
    return sorted(found, key=lambda row: -row["n"])[:TYPES] if len(found) > 1 else []


def _grid(columns: Columns) -> dict[str, Any] | None:
    """The identity grid's accuracies over the questions with two hops, (source layers, target layers)."""
    if columns.cells is None:
        return None
    sources, targets = columns.layers
    shares = (columns.cells / columns.gridded).reshape(len(sources), len(targets))
    return {"n": columns.gridded, "accuracy": shares.tolist(), "sources": sources, "targets": targets}


def _confidence(sets: Mapping[str, Columns]) -> dict[str, Any]:
    pairs = {
        name: list(zip(c.confidence.tolist(), c.column("deployed").right.tolist(), strict=True))
        for name, c in sets.items()
    }
    clusters: dict[str, Sequence[Any]] = {name: c.clusters.tolist() for name, c in sets.items()}
    return confidence_summary(pairs, ANSWERABLE, clusters=clusters)
