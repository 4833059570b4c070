"""An evaluation's results for people, and its folder: results.json, report.md, report.html beside the predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from eval.confidence_report import confidence_markdown
from eval.pictures import layer_heatmap, reliability_diagram
from eval.predicting import ALL, IDENTITY_ORACLE
from eval.reports.document import (
    Bars,
    Block,
    Code,
    Document,
    Example,
    Examples,
    Picture,
    Section,
    Table,
    Text,
    write_html,
    write_markdown,
)

COLUMNS = ["strategy", "accuracy", "95 % interval", "n", "fixed", "broken", "ms/question"]
STRONG = frozenset({"deployed"})


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes the folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    document = evaluation_document(results)
    write_markdown(document, folder / "report.md")
    write_html(document, folder / "report.html")
    partial = folder / "results.json.partial"
    partial.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / "results.json")


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


def summary(results: Mapping[str, Any]) -> list[str]:
    """What stands beside the tables, a line each."""
    lines = []
    if (shared := results.get("overlap")) and shared["questions"]:
        lines.append(
            f"WARNING: {shared['questions']} test questions are about {shared['bridges']} bridges that the profile was "
            "calibrated on: these figures are not about unseen bridges."
        )
    if faults := sum(results["faults"].values()):
        lines.append(f"Left out: {faults} records that could not be read, such as {results['fault_messages'][0]}")
    if (keep := results.get("keep")) and "deployed" in keep:
        lines.append(f"Keep set: deployed broke {keep['deployed']['broken']} of {keep['deployed']['n']} right answers.")
    for name, pair in results["paired"].items():
        if name in ("two_step", "hard_token", IDENTITY_ORACLE):
            lines.append(f"deployed - {name}: {_difference(pair)}, McNemar p = {pair['p']:.2g}.")
    if (uncertain := results.get("uncertain")) and "two_step" in uncertain["paired"]:
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


def evaluation_document(results: Mapping[str, Any]) -> Document:
    """The whole report."""
    hops = "read from the question" if results["hops_from"] == "question" else "given"
    stem = re.sub(r"\W+", "-", f"{results['title']} {hops}".lower()).strip("-")
    lead: list[Block] = [
        Text(_what(results)),
        Text("\n".join(f"- {line}" for line in summary(results))),
        Bars([(name, cell["accuracy"], *cell["ci95"]) for name in ALL if (cell := results["strategies"].get(name))]),
    ]
    sections = [
        Section(name, [Table(COLUMNS, table_rows(table), STRONG)], folded=number > 0)
        for number, (name, table) in enumerate(results["tables"].items())
    ]
    if results["paired"]:
        sections.append(Section("deployed against the others", _paired(results["paired"])))
    if grid := results["grid"]:
        sections.append(Section("The identity mapping, layer by layer", _grid(grid, stem)))
    if results["types"]:
        sections.append(Section("By type of question", [_types(results["types"])], folded=True))
    for kind, what in (("fixed", "direct wrong, deployed right"), ("broken", "direct right, deployed wrong")):
        if "deployed" in results["strategies"]:
            cases = [_example(record) for record in results["examples"][kind]]
            sections.append(Section(f"Examples {kind}: {what}", [Examples(cases)], folded=True))
    sections += _other_sets(results)
    if sure := results.get("confidence"):
        points = [(mean, accuracy, count) for mean, accuracy, count in sure["reliability"]]
        diagram = Picture(
            f"{stem}-reliability",
            "Accuracy over confidence of deployed",
            lambda path: reliability_diagram(points, path, "Confidence of deployed"),
        )
        sections.append(Section("Confidence", [diagram, *_confidence(sure)]))
    sections.append(Section("How to reproduce", _reproduce(results)))
    return Document(f"{results['title']}, hops {hops}", lead, sections)


def _what(results: Mapping[str, Any]) -> str:
    model = f"`{results['model']}`" + (f" ({results['fingerprint'][:19]})" if results["fingerprint"] else "")
    said = (
        f"Model {model}, profile `{results['profile']}`, engine `{results['engine']}`. {results['n']} questions over "
        f"{results['bridges']} bridges; of {results['known']} the model knows both hops, {results['shortcuts']} a "
        f"shortcut answers. Right is: {results['scoring']}. Intervals are bootstrap over bridges. "
    )
    if IDENTITY_ORACLE in results["strategies"]:
        said += (
            "`identity_oracle` and `oracle` get the hops in any case and read the gold answer: they cannot be deployed."
        )
    return said.strip()


def _paired(paired: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            name,
            _difference(pair),
            str(pair["only_deployed"]),
            str(pair["only_other"]),
            f"{pair['p']:.2g}",
            f"{pair['p_holm']:.2g}",
        ]
        for name, pair in paired.items()
    ]
    columns = ["strategy", "deployed - strategy (95 % interval)", "only deployed", "only the other"]
    note = (
        f"McNemar's exact test on the same questions. {len(rows)} comparisons are made at once: the last column is "
        "Holm's correction for that; intervals and the p beside it are each comparison's own."
    )
    return [Table([*columns, "McNemar p", "p, Holm"], rows), Text(note)]


def _grid(grid: Mapping[str, Any], stem: str) -> list[Block]:
    sources, targets = grid["sources"], grid["targets"]
    cells = dict(zip(product(sources, targets), chain(*grid["accuracy"]), strict=True))
    best = max(cells, key=lambda pair: (cells[pair], -pair[0], -pair[1]))
    title = "Identity mapping, share right"
    picture = Picture(f"{stem}-grid", title, lambda path: layer_heatmap(cells, path, title, best))
    said = (
        f"Share right of {grid['n']} two-hop questions for each pair; best is layer {best[0]} to layer {best[1]} with "
        f"{cells[best]:.1%}, found with the answers in hand. `identity_oracle` takes the best pair of every question."
    )
    if len(sources) < sources[-1]:
        said += (
            f" Of the model's {sources[-1]} layers {len(sources)} evenly spaced ones are tried as sources, and "
            f"{len(targets)} as targets, by both oracles: a bound over these pairs, not over all."
        )
    return [picture, Text(said)]


def _types(types: Sequence[Mapping[str, Any]]) -> Table:
    names = [name for name in ALL if name in types[0]["accuracy"]]
    rows = [[t["type"] or "none", str(t["n"]), *(f"{t['accuracy'][name]:.1%}" for name in names)] for t in types]
    return Table(["type", "n", *names], rows)


def _example(record: Mapping[str, Any]) -> Example:
    said = {name: told["text"] for name, told in record["strategies"].items()}
    behind = [("gold answer", record["answer"]), ("bridge", record["bridge"] or "not known")]
    evidence = record["deployed"]
    if bridge := evidence.get("bridge"):
        likely = ", ".join(f"{a['text'].strip()} {a['probability']:.2f}" for a in bridge["alternatives"][:3])
        behind.append(("bridge read", f"{bridge['text']} ({bridge['probability']:.2f}); first tokens: {likely}"))
    if patch := evidence.get("patch"):
        behind.append(("patch", f"layer {patch['source_layer']} to {patch['target_layer']}, {patch['mapping']}"))
    if fallback := evidence.get("fallback"):
        behind.append(("fallback", f"{fallback['strategy']}: {fallback['reason']}"))
    if evidence.get("confidence") is not None:
        behind.append(("confidence", f"{evidence['confidence']:.3f}"))
    behind += [(name, text or "nothing") for name, text in said.items() if not name.endswith("oracle")]
    return Example(f"{record['question']} (direct: {said['direct']}; deployed: {said['deployed']})", behind)


def _other_sets(results: Mapping[str, Any]) -> list[Section]:
    sections = []
    if keep := results.get("keep"):
        rows = [[n, f"{1 - c['broken'] / c['n']:.1%}", str(c["broken"]), str(c["n"])] for n, c in keep.items()]
        table = Table(["strategy", "kept", "broken", "n"], rows, STRONG)
        sections.append(Section("Keep set: questions that direct answers right", [table]))
    if uncertain := results.get("uncertain"):
        said = Text(
            f"Of {uncertain['of']} candidates those whose likeliest bridge has p < 0.8 when hop 1 is read in full."
        )
        table = Table(COLUMNS, table_rows(uncertain["table"]), STRONG)
        sections.append(Section("Uncertain bridges", [said, table, *_paired(uncertain["paired"])]))
    for name, title in (
        ("unknown", "A hop that the model does not know"),
        ("one_hop", "One-hop questions"),
        ("chains", "Chains of three and four hops"),
    ):
        if given := results.get(name):
            sections.append(Section(title, [Table(COLUMNS, table_rows(given), STRONG)]))
    return sections


def _confidence(sure: Mapping[str, Any]) -> list[Block]:
    """Its Markdown's paragraphs and tables as blocks."""
    blocks: list[Block] = []
    for part in confidence_markdown(sure).strip().split("\n\n"):
        if not part.startswith("|"):
            blocks.append(Text(part))
            continue
        columns, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines())
        blocks.append(Table(columns, rows))
    return blocks


def _reproduce(results: Mapping[str, Any]) -> list[Block]:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return [
        Code(results.get("command", "hopfix eval")),
        Text(f"Seed {results['seed']}; answers are greedy. {versions}. Every prediction is in `predictions.jsonl`."),
    ]


def _difference(pair: Mapping[str, Any]) -> str:
    low, high = (100 * bound for bound in pair["ci95"])
    return f"{100 * pair['difference']:+.1f} points ({low:+.1f} to {high:+.1f})"
