"""The placeholder study: what the token that a state overwrites still says (an open question of the paper).

Below the target layer the placeholder has run as itself, and later tokens have read it there. So another placeholder
changes the answer, unless the target layer is 0; and where a patch does nothing, its answer is what the placeholder
says alone.
"""

from __future__ import annotations

from typing import Any

from correction.profile import Choice
from eval.calibration.sites import holding, suitable
from eval.demo_world.questions import world_questions
from eval.experiments import EXPERIMENTS
from eval.experiments.findings import curves, findings, percent
from eval.experiments.lab import Lab, best_of, mean
from eval.pictures import TARGET
from eval.reports.document import Block, Document, Section, Table, Text
from eval.scoring import exact_match
from eval.sweep import identity_grid, sweep

CANDIDATES = ("x", "y", "it", "the", "a", "?", "that", "which", "is", "person", "country")
PAPER = (
    "The paper uses x and saw it leak: in long generations the placeholder's own early layers speak (\"placeholder "
    'contamination"). How much the choice matters it leaves open.'
)


async def run(lab: Lab) -> tuple[dict[str, Any], Document]:
    """Two-hop questions, the identity grid and the vocabulary mapping with each placeholder that is one token here."""
    questions = world_questions(lab.world, "test", lab.count)
    depth = lab.depth()
    grid = identity_grid(depth)
    deployed = Choice(depth, 0, "vocabulary")
    figures: dict[str, Any] = {}
    rows, alone, right = [], {}, {}
    for name in suitable(lab.corrector, questions, CANDIDATES):
        lab.say(f"placeholder {name!r}")
        corrector = holding(lab.corrector, name)
        plain = await lab.says([lab.blank(q.hop2, placeholder=name)[0] for q in questions])
        said = await sweep(corrector, questions, grid)
        (vocabulary,) = (await sweep(corrector, questions, [deployed])).values()
        marks = {
            (c.source_layer, c.target_layer): [
                exact_match(t, q.accepted) for t, q in zip(texts, questions, strict=True)
            ]
            for c, texts in said.items()
        }
        cells = {pair: mean(hits) for pair, hits in marks.items()}
        any_cell = mean([any(hits[n] for hits in marks.values()) for n in range(len(questions))])
        above = best_of({pair: share for pair, share in cells.items() if pair[1] >= 1})
        alone[name] = {
            t: mean(
                [
                    text == own
                    for choice, texts in said.items()
                    if choice.target_layer == t
                    for text, own in zip(texts, plain, strict=True)
                ]
            )
            for t in range(depth)
        }
        right[name] = {t: max(cells[source, t] for source in range(1, depth + 1)) for t in range(depth)}
        hits = mean([exact_match(text, q.accepted) for text, q in zip(vocabulary, questions, strict=True)])
        best = best_of(cells)
        rows.append(
            [
                f"`{name}`",
                percent(hits),
                percent(cells[best]),
                f"{best[0]} to {best[1]}",
                percent(cells[above]),
                percent(any_cell),
                percent(mean(list(alone[name].values()))),
            ]
        )
        figures[name] = {
            "vocabulary": hits,
            "best_pair": cells[best],
            "best_above_0": cells[above],
            "any_pair": any_cell,
            "as_unpatched": {str(t): share for t, share in alone[name].items()},
        }
    columns = [
        "placeholder",
        "vocabulary to 0",
        "best identity pair",
        "which",
        "best with l* >= 1",
        "any pair",
        "says what it says unpatched",
    ]
    spread = [figures[name]["any_pair"] for name in figures]
    words = [figures[name]["vocabulary"] for name in figures]
    deep = {name: alone[name][depth - 1] for name in alone}
    found = (
        f"Of {len(figures)} placeholders the share right for any pair goes from {min(spread):.1%} to "
        f"{max(spread):.1%}; the vocabulary mapping into layer 0 from {min(words):.1%} to {max(words):.1%}: there "
        f"nothing of the placeholder is left. Patched at layer {depth - 1} the answer is the one of the untouched "
        f"placeholder in {min(deep.values()):.1%} to {max(deep.values()):.1%} of the cases."
    )
    about = "by target layer"
    contamination: list[Block] = [
        curves("placeholder", f"Answers that are the untouched placeholder's, {about}", alone, layers=TARGET),
        curves("placeholder-right", f"Best source layer's share right, {about}", right, layers=TARGET),
    ]
    if all(shares[depth - 1] > shares[0] for shares in alone.values()):
        contamination.append(Text("The later the target layer, the more of the answer is the placeholder's own."))
    sections = [Section("By placeholder", [Table(columns, rows)]), Section("Contamination", contamination)]
    return figures, findings(
        EXPERIMENTS["placeholder"],
        lab,
        paper=PAPER,
        found=found,
        sections=sections,
        setting=f"{len(questions)} test questions.",
    )
