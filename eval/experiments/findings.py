"""How an experiment reports: what the paper found, what was found here, figures, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.experiments import Experiment
from eval.experiments.lab import Lab
from eval.pictures import layer_curves, layer_heatmap
from eval.reports.document import Block, Code, Document, Picture, Section, Table, Text

Curve = Mapping[int, float]
Cells = Mapping[tuple[int, int], float]


def findings(
    experiment: Experiment, lab: Lab, *, paper: str, found: str, sections: Sequence[Section], setting: str = ""
) -> Document:
    """The report of an experiment."""
    models = ", ".join(
        f"`{lab.label if name is None else name}` ({host.loaded.model.config.model_type}, "
        f"{host.loaded.parts.depth} layers, width {host.loaded.shape.width})"
        for name, host in lab.inspector.hosts.items()
    )
    about = f"Run on {models}; world: {lab.world.identity}. {setting}"
    lead: list[Block] = [
        Text(f"**What the paper found.** {paper}"),
        Text(f"**What was found here.** {found}"),
        Text(about.strip()),
    ]
    again = Section("How to reproduce", [Code(f"hopfix eval experiment {experiment.name}")])
    return Document(f"{experiment.title}", lead, [*sections, again])


def curves(name: str, title: str, lines: Mapping[str, Curve], *, layers: str = "source layer l") -> Picture:
    """Shares over layers, a line a name."""
    return Picture(name, title, lambda path: layer_curves(lines, path, title, layers=layers))


def heatmap(name: str, title: str, cells: Cells, chosen: tuple[int, int] | None = None) -> Picture:
    """A share for each pair of layers."""
    return Picture(name, title, lambda path: layer_heatmap(cells, path, title, chosen))


def curve_table(lines: Mapping[str, Curve], what: str = "") -> Table:
    """The lines' figures, a column a layer."""
    layers = sorted({layer for line in lines.values() for layer in line})
    rows = [[name, *(percent(line.get(layer)) for layer in layers)] for name, line in lines.items()]
    return Table([what, *(f"l = {layer}" for layer in layers)], rows)


def percent(share: float | None) -> str:
    """A share for people."""
    return "" if share is None else f"{share:.1%}"


def as_json(cells: Mapping[Any, Any]) -> dict[str, Any]:
    """Keys that are pairs as `l->l*`, all others as text."""
    return {"->".join(map(str, key)) if isinstance(key, tuple) else str(key): value for key, value in cells.items()}
