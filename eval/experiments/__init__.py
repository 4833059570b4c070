"""The paper's experiments, and those it leaves open: a file each, from a lab to a report.

Listing them imports no model code; the command's help does that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from correction.errors import InvalidInput

if TYPE_CHECKING:
    from eval.experiments.lab import Lab
    from eval.reports.document import Document

__all__ = ["EXPERIMENTS", "Experiment", "experiment_named"]


@dataclass(frozen=True)
class Experiment:
    """An experiment. models: which it runs on where none is named: "demo", or names of `eval.experiments.models`; the
    first is the one in question, the others are known to the lab by these names. count: cases a condition.
    """

    name: str
    title: str
    summary: str
    models: tuple[str, ...] = ("demo",)
    count: int = 200

    async def __call__(self, lab: Lab) -> tuple[dict[str, Any], Document]:
        """The figures as plain data, and the report."""
        module = import_module(f"eval.experiments.{self.name.replace('-', '_')}")
        run: Callable[[Lab], Awaitable[tuple[dict[str, Any], Document]]] = module.run
        return await run(lab)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "next-token",
            "Next-token estimation",
            "Token identity against logit lens and tuned lens, by layer.",
            count=300,
        ),
        Experiment(
            "attribute-extraction",
            "Attribute extraction",
            "A subject's attributes asked of its state, against a linear probe.",
            count=40,
        ),
        Experiment("entity-resolution", "Entity resolution", "Where a name becomes an entity, by layer.", count=30),
        Experiment(
            "cross-model",
            "Cross-model patching within a family",
            "A small model's states read by a larger one of its family.",
            ("llama-tiny", "llama-small"),
        ),
        Experiment("multi-hop", "Multi-hop correction", "Every pair of layers, with what can be deployed beside it."),
        Experiment("placeholder", "The placeholder", "What other placeholders than x change.", count=150),
        Experiment(
            "mappings", "The mapping's expressiveness", "Identity, affine, MLP, kernel and vocabulary.", count=120
        ),
        Experiment(
            "cross-architecture",
            "Patching across architectures and families",
            "A Llama's states in other architectures and another tokenizer.",
            ("llama-tiny", "llama-other-seed", "qwen3-tiny", "gpt_neox-own-tokenizer"),
            count=100,
        ),
        Experiment(
            "fidelity",
            "Semantic fidelity",
            "Whether a reading tells what the model holds, where the truth is known.",
            ("llama-tiny",),
            count=60,
        ),
        Experiment("ablation", "Positions, prompts and mappings", "All combinations; ends in guidelines.", count=80),
    )
}


def experiment_named(name: str) -> Experiment:
    """The experiment of that name; raises `InvalidInput` naming those there are."""
    if name not in EXPERIMENTS:
        raise InvalidInput(
            f"no experiment {name!r}", hint=f"choose one of {', '.join(EXPERIMENTS)}", param="experiment"
        )
    return EXPERIMENTS[name]
