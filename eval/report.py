"""Results as a folder: `results.json`, every prediction as JSON lines, and `report.md` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from correction.answers import Answer
from eval.evaluation import Run
from eval.questions import GoldQuestion

_ORDER = ("direct", "step_by_step", "two_step", "patched", "hard_token", "deployed", "identity_oracle")


def table_rows(table: Mapping[str, Any]) -> list[list[str]]:
    """One row a strategy: name, accuracy with interval, fixed, broken, milliseconds a question."""
    rows = []
    for name in [n for n in _ORDER if n in table] + sorted(set(table) - set(_ORDER)):
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


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [" | ".join(columns), " | ".join(["---"] + ["---:"] * (len(columns) - 1))]
    lines += [" | ".join(row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def markdown(results: Mapping[str, Any]) -> str:
    """The whole report."""
    how = "read from the question" if results["hops_from"] == "question" else "given"
    parts = [
        f"# {results['title']}, hops {how}",
        f"Model `{results['model']}` ({results['fingerprint'][:19]}), profile `{results['profile']}`, engine "
        f"`{results['engine']}`. {results['n']} questions over {results['bridges']} bridges. "
        "`identity_oracle` gets the hops in any case and reads the gold answer: it cannot be deployed.",
    ]
    for name, table in results["tables"].items():
        parts += [f"## {name}", markdown_table(COLUMNS, table_rows(table))]
    tests = [[name, f"{p:.2g}"] for name, p in results["mcnemar"].items()]
    parts += ["## deployed against the others (McNemar, exact, two-sided p)", markdown_table(["strategy", "p"], tests)]
    keep = results.get("keep")
    if keep:
        parts += [
            "## Keep set: questions that direct answers right",
            markdown_table(
                ["strategy", "kept", "broken", "n"],
                [[n, f"{1 - c['broken'] / c['n']:.1%}", str(c["broken"]), str(c["n"])] for n, c in keep.items()],
            ),
        ]
    counts = ", ".join(f"{count} to {name}" for name, count in results["fallbacks"].items()) or "none"
    parts.append(f"Fallbacks of deployed: {counts}.")
    return "\n\n".join(parts) + "\n"


def write(folder: Path, results: Mapping[str, Any], runs: Mapping[str, Run], questions: Sequence[GoldQuestion]) -> None:
    """Writes the folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions = []
    for index, question in enumerate(questions):
        said = {name: {"text": run.texts[index], "right": run.right[index]} for name, run in runs.items()}
        deployed = runs["deployed"].answers[index]
        evidence = deployed.to_dict() if isinstance(deployed, Answer) else {"error": str(deployed)}
        predictions.append({"id": question.id, "bridge": question.bridge, "strategies": said, "deployed": evidence})
    contents = {
        "results.json": json.dumps(results, indent=1, ensure_ascii=False) + "\n",
        "predictions.jsonl": "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in predictions),
        "report.md": markdown(results),
    }
    for name, text in contents.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)
