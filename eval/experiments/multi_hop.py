"""Multi-hop correction (section 5): every pair of layers, counted as the paper counts, beside what can be deployed."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.columns import Columns
from eval.demo_world.suite import suite
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import as_json, findings, heatmap
from eval.experiments.lab import Lab, best_of
from eval.experiments.notebook import fits, notebook_oracle
from eval.predicting import Predictor
from eval.reports.document import Document, Section, Table, Text
from eval.reports.evaluation import COLUMNS, STRONG, table_rows
from eval.results import paired_tests, summarise
from eval.run import CHUNK
from eval.scorers import SCORERS

STRATEGIES = ("direct", "two_step", "step_by_step", "patched", "hard_token", "deployed", "identity_oracle")
PAPER = (
    "On questions whose two hops Vicuna 13B answers on their own it answers 19.6 % at once; with the state of one pass "
    "patched into the other, 50 % are right for at least one of the pairs of layers. That counts any pair: it says "
    "what the states hold, and needs the answer to choose."
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Test questions of the world, asked by strategies and by every cell of the identity grid."""
    scorer = SCORERS["squad"]
    questions = suite(lab.world)["test"][: lab.count]
    predictor = Predictor(lab.corrector, scorer, (*STRATEGIES, "controls"))
    records, seconds = [], dict.fromkeys(STRATEGIES, 0.0)
    for start in range(0, len(questions), CHUNK):
        lab.say(f"question {start + 1} of {len(questions)}")
        told, spent = await predictor.predict("test", questions[start : start + CHUNK])
        records += told
        seconds = {name: seconds[name] + spent[name] for name in seconds}
    columns = Columns.of(records)
    everything = np.ones(len(columns), bool)
    each = {name: spent / len(questions) for name, spent in seconds.items()}
    table, known = (summarise(columns, mask, each) for mask in (everything, columns.known))
    asked = [question for question in questions if fits(question)]
    lab.say("the notebook's protocol")
    notebook = await notebook_oracle(lab.corrector, asked, scorer)
    assert columns.cells is not None
    depth = lab.depth()
    shares = (columns.cells / columns.gridded).reshape(depth, depth)
    cells = {(l, t): float(shares[l - 1, t]) for l in range(1, depth + 1) for t in range(depth)}  # noqa: E741
    best = best_of(cells)
    pair = paired_tests(columns)["two_step"]
    as_notebook = f"{sum(notebook) / len(notebook):.1%} of {len(asked)}" if asked else "not to be had for these hops"
    found = (
        f"direct {table['direct']['accuracy']:.1%}; any pair of layers (the paper's count) "
        f"{table['identity_oracle']['accuracy']:.1%}, by the notebook's own reading of the protocol {as_notebook}; the "
        f"best single pair, layer {best[0]} to {best[1]}, {cells[best]:.1%}. Without the answer in hand: one pair "
        f"chosen on other questions {table['patched']['accuracy']:.1%}, deployed {table['deployed']['accuracy']:.1%} "
        f"(broken: {table['deployed']['broken']}), and two text calls {table['two_step']['accuracy']:.1%} "
        f"(difference {100 * pair['difference']:+.1f} points, p = {pair['p']:.2g})."
    )
    sections = [
        Section(
            "Identity mapping, share right of each pair",
            [heatmap("multi-hop", "Share right, identity mapping", cells, best)],
        ),
        Section("All questions", [Table(COLUMNS, table_rows(table), STRONG)]),
        Section(
            "Both hops known (the paper's filter)",
            [Table(COLUMNS, table_rows(known), STRONG), Text("The filter makes two_step right by construction.")],
        ),
    ]
    figures = {
        "strategies": table,
        "known": known,
        "cells": as_json(cells),
        "notebook_oracle": sum(notebook) / max(1, len(notebook)),
    }
    return figures, findings(EXPERIMENTS["multi-hop"], lab, paper=PAPER, found=found, sections=sections)
