"""Results as a folder: `results.json`, every prediction as JSON lines, and `report.md` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.confidence_report import confidence_markdown
from eval.pictures import reliability_diagram
from eval.predicting import ALL, IDENTITY_ORACLE
from eval.tables import markdown_table


def table_rows(table: Mapping[str, Any]) -> list[list[str]]:
    """One row a strategy: name, accuracy with interval, fixed, broken, milliseconds a question."""
    rows = []
    for name in (n for n in ALL if n in table):
        cell = table[name]
        low, high = cell["ci95"]
        rows.append(
            [
                name,
                f"{cell['accuracy']:.1%}",
                f"{low:.1%} to {high:.1%}",
                str(cell["n"]),
                str(cell["fixed"]),
                str(cell["broken"]),
                f"{1000 * cell['seconds_per_question']:.1f}",
            ]
        )
    return rows


COLUMNS = ["strategy", "accuracy", "95 % interval", "n", "fixed", "broken", "ms/question"]


def summary(results: Mapping[str, Any]) -> list[str]:
    """What stands beside the tables, a line each."""
    lines = []
    if (shared := results.get("overlap")) and shared["questions"]:
        lines.append(
            f"WARNING: {shared['questions']} test questions are about {shared['bridges']} bridges that the profile was "
            "calibrated on: these figures are not about unseen bridges."
        )
    if keep := results.get("keep"):
        lines.append(f"Keep set: deployed broke {keep['deployed']['broken']} of {keep['deployed']['n']} right answers.")
    for name, pair in results["paired"].items():
        if name in ("two_step", "hard_token", IDENTITY_ORACLE):
            lines.append(f"deployed - {name}: {_difference(pair)}, McNemar p = {pair['p']:.2g}.")
    if uncertain := results.get("uncertain"):
        pair = uncertain["paired"]["two_step"]
        table = uncertain["table"]
        lines.append(
            f"Uncertain bridges (p < 0.8, n = {table['deployed']['n']}): deployed {table['deployed']['accuracy']:.1%}, "
            f"two_step {table['two_step']['accuracy']:.1%}; difference {_difference(pair)}."
        )
    if sure := results.get("confidence"):
        area = "none" if sure["auroc"] is None else f"{sure['auroc']:.3f}"
        lines.append(
            f"Confidence: expected calibration error {sure['ece']:.3f}, AUROC {area}, "
            f"{sure['coverage']:.1%} of the answerable questions at {sure['precision']:.0%} precision."
        )
    counts = ", ".join(f"{count} to {name}" for name, count in results["fallbacks"].items()) or "none"
    lines.append(f"Fallbacks of deployed: {counts}.")
    return lines


def markdown(results: Mapping[str, Any]) -> str:
    """The whole report."""
    how = "read from the question" if results["hops_from"] == "question" else "given"
    parts = [
        f"# {results['title']}, hops {how}",
        f"Model `{results['model']}` ({results['fingerprint'][:19]}), profile `{results['profile']}`, engine "
        f"`{results['engine']}`. {results['n']} questions over {results['bridges']} bridges; of {results['known']} the "
        f"model knows both hops, {results['shortcuts']} a shortcut answers. `identity_oracle` and `oracle` get the "
        "hops in any case and read the gold answer: they cannot be deployed.",
        "\n".join(f"- {line}" for line in summary(results)),
    ]
    for name, table in results["tables"].items():
        parts += [f"## {name}", markdown_table(COLUMNS, table_rows(table))]
    parts += ["## deployed against the others", _paired_table(results["paired"])]
    if keep := results.get("keep"):
        parts += [
            "## Keep set: questions that direct answers right",
            markdown_table(
                ["strategy", "kept", "broken", "n"],
                [[n, f"{1 - c['broken'] / c['n']:.1%}", str(c["broken"]), str(c["n"])] for n, c in keep.items()],
            ),
        ]
    if uncertain := results.get("uncertain"):
        parts += [
            "## Uncertain bridges",
            f"Of {uncertain['of']} candidates those whose likeliest bridge has p < 0.8 when hop 1 is read in full.",
            markdown_table(COLUMNS, table_rows(uncertain["table"])),
            _paired_table(uncertain["paired"]),
        ]
    for name, title in (
        ("unknown", "A hop that the model does not know"),
        ("one_hop", "One-hop questions"),
        ("chains", "Chains of three and four hops"),
    ):
        if table := results.get(name):
            parts += [f"## {title}", markdown_table(COLUMNS, table_rows(table))]
    if sure := results.get("confidence"):
        parts += ["## Confidence", confidence_markdown(sure).rstrip()]
    return "\n\n".join(parts) + "\n"


def _difference(pair: Mapping[str, Any]) -> str:
    low, high = (100 * bound for bound in pair["ci95"])
    return f"{100 * pair['difference']:+.1f} points ({low:+.1f} to {high:+.1f})"


def _paired_table(paired: Mapping[str, Any]) -> str:
    rows = [
        [name, _difference(pair), str(pair["only_deployed"]), str(pair["only_other"]), f"{pair['p']:.2g}"]
        for name, pair in paired.items()
    ]
    columns = ["strategy", "deployed - strategy (95 % interval)", "only deployed", "only the other", "McNemar p"]
    return markdown_table(columns, rows)


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes the folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "results.json": json.dumps(results, indent=1, ensure_ascii=False) + "\n",
        "report.md": markdown(results),
    }
    for name, text in contents.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)
    if sure := results.get("confidence"):
        points = [(mean, accuracy, count) for mean, accuracy, count in sure["reliability"]]
        reliability_diagram(points, folder / "reliability.png", "Confidence of deployed")
