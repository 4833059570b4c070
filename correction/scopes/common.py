"""What the ready-made Patchscopes have in common: where the placeholder is, and tables over layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.models import LoadedModel
from correction.patchscope import Graft, Patchscope, Source, Target, find_sites
from correction.prompts import PLACEHOLDER
from correction.questions import BLANK
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table

VALUE = "probability of a generated token (geometric mean)"
SOURCE_LAYERS = "source layer l"
TARGET_LAYERS = "target layer l*"


def source_of(request: Request, prompt: str | None = None) -> Source:
    """S, i and M of the request, at layer 0; the last token where no position is given."""
    position = -1 if request.position is None else request.position
    return Source(prompt=prompt or request.prompt, layer=0, position=position, model=request.model)


def target_of(inspector: Inspector, request: Request, template: str = "", placeholder: str = PLACEHOLDER) -> Target:
    """T, i* and M* of the request, or of the method's own template, at layer 0.

    Raises `InvalidInput` where the placeholder is missing or the tokenizer merges it with its neighbours.
    """
    name = request.target_model or request.model
    template, placeholder = request.target or template, request.placeholder or placeholder
    loaded = inspector.host(name).loaded
    if request.target_position is not None:
        return Target(prompt=template, layer=0, position=request.target_position, model=name)
    before, blank, after = template.rpartition(BLANK)
    if not blank:
        index = find_sites(loaded, template, 0, placeholder).positions[0]
        return Target(prompt=template, layer=0, position=index, model=name)
    prompt = before + placeholder + after
    end = len(before + placeholder)
    for index, (first, last) in enumerate(loaded.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]):
        if last == end and prompt[first:last].strip() == placeholder:
            return Target(prompt=prompt, layer=0, position=index, model=name)
    raise InvalidInput(
        f"the tokenizer does not keep the placeholder {placeholder!r} in {prompt!r} as one token",
        hint="choose another placeholder, or put spaces around {}",
        param="placeholder",
    )


def patchscope_of(request: Request, target: Target) -> Patchscope:
    """The request's source and mapping into that target."""
    mapping = request.mapping or "identity"
    return Patchscope(source=source_of(request), target=target, mapping=mapping, max_tokens=request.max_tokens)


def at(patchscope: Patchscope, layer: int, target_layer: int) -> Patchscope:
    """The same Patchscope at another pair of layers."""
    source = patchscope.source.model_copy(update={"layer": layer})
    target = patchscope.target.model_copy(update={"layer": target_layer})
    return patchscope.model_copy(update={"source": source, "target": target})


def layers_of(inspector: Inspector, model: str | None, given: Sequence[int] | None, *, last: bool) -> list[int]:
    """Those given, or the layer grid's: 1..L for a source (`last`), 0..L-1 for a target."""
    depth = inspector.host(model).loaded.parts.depth
    return list(given or range(int(last), depth + int(last)))


def token_labels(loaded: LoadedModel, tokens: Sequence[int]) -> tuple[str, ...]:
    """Each token as text, the special ones too."""
    return tuple(str(loaded.tokenizer.decode([token])) for token in tokens)


def cell_of(text: str, logprobs: Sequence[float]) -> Cell:
    """A generated text. The geometric mean lets texts of different lengths be compared."""
    return Cell(text, math.exp(sum(logprobs) / len(logprobs)) if logprobs else None)


async def grid_table(
    inspector: Inspector,
    request: Request,
    patchscope: Patchscope,
    name: str,
    title: str,
    *,
    defined: Callable[[int, int], bool] = lambda layer, target_layer: True,
    notes: tuple[str, ...] = (),
) -> Table:
    """The Patchscope at every pair of layers for which a cell is `defined`."""
    layers = layers_of(inspector, patchscope.source.model, request.layers, last=True)
    target_layers = layers_of(inspector, patchscope.target.model, request.target_layers, last=False)
    source = patchscope.source.model_copy(update={"layer": tuple(layers)})
    graft = Graft(source=source, layer=tuple(target_layers), mapping=patchscope.mapping)
    notes = (*notes, *inspector.notes(graft, patchscope.target.model))
    grid, texts = await inspector.grid(patchscope, layers, target_layers)
    said = grid.tokens[0] >= 0
    likely = torch.where(said, grid.logprobs[0], 0.0).sum(-1) / said.sum(-1)
    values = [
        [math.exp(mean) if any_said else None for mean, any_said in zip(*row, strict=True)]
        for row in zip(likely.tolist(), said.any(-1).tolist(), strict=True)
    ]
    cells = tuple(
        tuple(
            Cell(texts[n][m], values[n][m]) if defined(layer, target_layer) else None
            for m, target_layer in enumerate(target_layers)
        )
        for n, layer in enumerate(layers)
    )
    found = [(cell.value or 0.0, n, m) for n, row in enumerate(cells) for m, cell in enumerate(row) if cell is not None]
    likeliest = max(found, key=lambda entry: entry[0], default=None)
    return Table(
        name,
        title,
        Axis(SOURCE_LAYERS, tuple(map(str, layers))),
        Axis(TARGET_LAYERS, tuple(map(str, target_layers))),
        VALUE,
        cells,
        notes,
        (at(patchscope, layers[likeliest[1]], target_layers[likeliest[2]]),) if likeliest else (),
    )


async def layer_table(
    inspector: Inspector, request: Request, patchscope: Patchscope, name: str, title: str, notes: tuple[str, ...] = ()
) -> Table:
    """The Patchscope at l* = l, layer by layer; a grid where the request has target layers of its own."""
    if request.target_layers is not None:
        return await grid_table(inspector, request, patchscope, name, title, notes=notes)
    depth = inspector.host(patchscope.target.model).loaded.parts.depth
    layers = layers_of(inspector, patchscope.source.model, request.layers, last=True)
    outcomes = await inspector.run([at(patchscope, layer, min(layer, depth)) for layer in layers])
    cells = tuple((cell_of(outcome.text, outcome.logprobs),) for outcome in outcomes)
    likeliest = max(range(len(layers)), key=lambda n: cells[n][0].value or 0.0)
    return Table(
        name,
        title,
        Axis("layer l = l*", tuple(map(str, layers))),
        Axis("says", ("text",)),
        VALUE,
        cells,
        notes,
        (outcomes[likeliest].patchscope,),
    )
