"""The paper's multi-hop table, reproduced on any model, with ours beside it: from questions to a report.

The questions are split by bridge: on the one part a profile is calibrated, on the other everything is scored. Nothing
of the paper's protocol needs that; everything that could be deployed does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from correction.corrector import Corrector
from correction.errors import InvalidInput
from eval.calibration import calibrate
from eval.calibration.calibrate import MIN_QUESTIONS
from eval.columns import Columns, layers_of
from eval.experiments.notebook import fits, notebook_oracle
from eval.journal import Journal
from eval.predicting import Predictor
from eval.questions import GoldQuestion, digest
from eval.reports.document import Block, Document, Section, Table, Text
from eval.reports.evaluation import evaluation_document
from eval.results import results_of
from eval.run import Run
from eval.scorers import Scorer

CALIBRATION = 0.4  # of the bridges
# As the table says it -> the strategy that it is, or None; and what the paper reports, where it does.
ASKED, ANY = "asked at once", "any pair of layers (oracle)"
STEPS, BELOW, NOTEBOOK = (
    '"Let\'s think step by step"',
    "any pair with l < l* (oracle)",
    "any pair, as the notebook runs it (oracle)",
)
PUBLISHED = {ASKED: "19.57 %", ANY: "50 %"}
SOURCE = (
    "Published figures: Vicuna 13B, on two-hop questions composed from LRE relations both hops of which it answers on "
    "their own (arXiv 2401.06102)."
)
KNOWN = "Both hops known (the paper's filter)"


def split(questions: Sequence[GoldQuestion]) -> tuple[list[GoldQuestion], list[GoldQuestion]]:
    """Calibration and test questions, no bridge in both: by a hash of the bridge, so that every run splits alike."""

    def share(question: GoldQuestion) -> float:
        return int.from_bytes(blake2b(question.bridge.lower().encode(), digest_size=4).digest(), "big") / 2**32

    two_hop = [q for q in questions if q.hop1 and not q.hop3]
    if not two_hop:
        raise InvalidInput("no question has two hops", hint="give a dataset that names them", param="questions")
    chosen = [q for q in two_hop if share(q) < CALIBRATION]
    return chosen, [q for q in two_hop if share(q) >= CALIBRATION]


async def calibrated(
    corrector: Corrector, questions: Sequence[GoldQuestion], folder: Path, on_step: Callable[[str], object]
) -> tuple[Corrector, str]:
    """The corrector with a profile of its own in `folder`/profile, and a note; as it is where that cannot be made."""
    place = folder / "profile"
    loaded = corrector.loaded
    if len(questions) < MIN_QUESTIONS:
        return corrector, (
            f"{len(questions)} calibration questions are too few ({MIN_QUESTIONS} are needed): the vocabulary mapping "
            "from the last layer into layer 0 is used."
        )
    key = {"model": loaded.fingerprint, "questions": digest(questions)}
    try:
        with Journal(place, key) as journal:
            profile = await calibrate(corrector, questions, journal, on_step)
            profile.save(place)
    except InvalidInput as error:
        if "is another run's journal" in error.message:
            raise
        return corrector, f"No profile could be calibrated: {error}."
    return corrector.using(profile), f"Profile calibrated on {len(questions)} questions about other bridges."


async def reproduced(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    scorer: Scorer,
    folder: Path,
    about: dict[str, Any],
    on_done: Callable[[int], None],
) -> dict[str, Any]:
    """Everything that is asked of the test questions: the evaluation's results, with the paper's table."""
    predictor = Predictor(corrector, scorer)
    with Run(
        folder, {"about": {k: v for k, v in about.items() if k != "command"}, "questions": digest(questions)}
    ) as run:
        await run.extend("test", questions, predictor.predict, on_done)
        results = {**about, **results_of(run)}
        columns = Columns.of(run.predictions())
        efficient = [_efficient(record) for record in run.predictions()]
    known = [q for q, both in zip(questions, columns.known.tolist(), strict=True) if both]
    asked = [q for q in known if fits(q)]
    marks = await notebook_oracle(corrector, asked, scorer)
    results["paper"] = _paper(columns, efficient, marks)
    return results


def document(results: dict[str, Any], notes: Sequence[str]) -> Document:
    """The report: the paper's table, ours, and the whole evaluation."""
    paper = results["paper"]
    rows = [[name, PUBLISHED.get(name, ""), *_ours(cell)] for name, cell in paper.items()]
    deployable = [
        [name, f"{cell['accuracy']:.1%}", "{:.1%} to {:.1%}".format(*cell["ci95"]), str(cell["broken"])]
        for name in ("direct", "two_step", "patched", "mid_layer", "hard_token", "deployed")
        if (cell := results["tables"].get(KNOWN, {}).get(name))
    ]
    lead: list[Block] = [Text(" ".join(notes)), Text(SOURCE)]
    sections = [
        Section(
            "The paper's table: questions whose two hops the model answers on their own",
            [Table(["", "published", "here", "n"], rows)],
        ),
        Section(
            "What can be deployed, on the same questions",
            [
                Table(["strategy", "right", "95 % interval", "broken"], deployable, frozenset({"deployed"})),
                Text("The filter makes two_step right by construction; the tables below are without it."),
            ],
        ),
    ]
    whole = evaluation_document(results)
    return Document(
        f"Multi-hop correction of {results['model']}",
        lead,
        [*sections, Section("All questions", whole.lead), *whole.sections],
    )


def _efficient(record: dict[str, Any]) -> bool:
    """Whether a pair whose source layer is below its target layer is right: those could save computing."""
    if "cells" not in record:
        return False
    pairs = product(*layers_of(record))
    return any(right == "1" and source < target for right, (source, target) in zip(record["cells"], pairs, strict=True))


def _paper(columns: Columns, efficient: Sequence[bool], notebook: Sequence[bool]) -> dict[str, Any]:
    known = columns.known
    measured = {
        ASKED: columns.column("direct").right[known],
        STEPS: columns.column("step_by_step").right[known],
        ANY: columns.column("identity_oracle").right[known],
        BELOW: np.array(efficient, dtype=bool)[known],
        NOTEBOOK: np.array(notebook, dtype=bool),
    }
    return {name: {"right": float(r.mean()) if len(r) else None, "n": len(r)} for name, r in measured.items()}


def _ours(cell: dict[str, Any]) -> list[str]:
    return ["none" if cell["right"] is None else f"{cell['right']:.1%}", str(cell["n"])]
