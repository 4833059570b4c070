"""Linear probing: whether a label can be read from a state by a linear classifier (Alain & Bengio 2017).

Row "Probing" of the paper's Table 1: f = a classifier trained on the states, T empty: nothing is generated, and what a
probe finds need not be what the model uses.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.scopes.common import source_of
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table

HELD_OUT = 1 / 3
RIDGE = 1e-2  # relative to the mean squared length of a centred state


async def linear_probe(inspector: Inspector, request: Request) -> Table:
    """Layers 0..L; accuracy on the prompts it was trained on and on the third that was held out, by the seed.

    Raises `InvalidInput` unless every prompt has a label, and there are at least two labels with three prompts each.
    """
    names = _check(request)
    layers = list(request.layers or range(inspector.host(request.model).loaded.parts.depth + 1))
    sources = [source_of(request, prompt) for prompt in request.prompts]
    read = [source.model_copy(update={"layer": layer}) for layer in layers for source in sources]
    states = torch.stack(await inspector.states(read)).float().cpu().view(len(layers), len(sources), -1)
    labels = torch.tensor([names.index(label) for label in request.labels])
    held_out = split(labels, request.seed)
    cells = []
    for given in states:
        right = classify(given[~held_out], labels[~held_out], given, len(names)) == labels
        shares = [float(right[chosen].float().mean()) for chosen in (~held_out, held_out)]
        cells.append(tuple(Cell(f"{share:.3f}", share) for share in shares))
    most = int(labels[~held_out].mode().values)
    chance = float((labels[held_out] == most).float().mean())
    return Table(
        "linear-probe",
        "Linear probe: how well a linear classifier reads the label from a layer's state",
        Axis("layer l", tuple(map(str, layers))),
        Axis("accuracy on prompts that were", ("trained on", "held out")),
        "accuracy",
        tuple(cells),
        (
            f"{int((~held_out).sum())} prompts trained on, {int(held_out.sum())} held out, {len(names)} labels",
            f"always saying {names[most]!r} is right on {chance:.3f} of the held-out prompts",
        ),
    )


def split(labels: Tensor, seed: int) -> Tensor:
    """Which rows to hold out, (rows,) bool: a third of each label's, at least one."""
    shuffle = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        rows = (labels == label).nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=shuffle)
        held_out[rows[order[: max(1, int(len(rows) * HELD_OUT))]]] = True
    return held_out


@torch.inference_mode()
def classify(states: Tensor, labels: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Labels for `asked` (rows, width) by ridge regression of one-hot labels on `states`, solved in its dual form."""
    mean = states.mean(0)
    centred = (states - mean).double()
    targets = torch.nn.functional.one_hot(labels, classes).double()
    products = centred @ centred.T
    ridge = RIDGE * products.diagonal().mean().clamp_min(1e-12) * torch.eye(len(states), dtype=torch.double)
    weights = centred.T @ torch.linalg.solve(products + ridge, targets - targets.mean(0))
    scores: Tensor = (asked - mean).double() @ weights + targets.mean(0)
    return scores.argmax(-1)


def _check(request: Request) -> list[str]:
    if len(request.labels) != len(request.prompts):
        raise InvalidInput(
            f"{len(request.prompts)} prompts have {len(request.labels)} labels",
            hint="give one label a prompt",
            param="labels",
        )
    counts = Counter(request.labels)
    if len(counts) < 2 or min(counts.values()) < 3:
        raise InvalidInput("too few labels", hint="give two labels or more, each with three prompts", param="labels")
    return sorted(counts)
