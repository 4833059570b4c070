"""Any Patchscope (section 3): every letter of (S, i, M, l) x (T, i*, f, M*, l*) is the caller's."""

from __future__ import annotations

from collections.abc import Sequence

from correction.inspector import Inspector, Outcome
from correction.patchscope import Patchscope
from correction.scopes.common import VALUE, at, cell_of, grid_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table


async def patchscope(inspector: Inspector, request: Request) -> Table:
    """One pair of layers gives the text with its alternatives, several give the grid."""
    whole = patchscope_of(request, target_of(inspector, request))
    assert request.layers is not None
    assert request.target_layers is not None
    if len(request.layers) == len(request.target_layers) == 1:
        return await run_all(inspector, [at(whole, request.layers[0], request.target_layers[0])])
    return await grid_table(inspector, request, whole, "patchscope", f"Patchscope: {whole.target.prompt!r}")


async def run_all(inspector: Inspector, patchscopes: Sequence[Patchscope]) -> Table:
    """Patchscopes as they are, spans and several states too: a row each."""
    outcomes = await inspector.run(patchscopes)
    width = max(len(outcome.alternatives) for outcome in outcomes)
    return Table(
        "patchscope",
        "Patchscope" if len(outcomes) == 1 else f"{len(outcomes)} Patchscopes",
        Axis("layers l -> l*", tuple(_label(scope) for scope in patchscopes)),
        Axis("says, or could have begun with", ("text", *(f"choice {n + 1}" for n in range(width)))),
        VALUE,
        tuple(_row(outcome, width) for outcome in outcomes),
        (),
        tuple(patchscopes),
    )


def _row(outcome: Outcome, width: int) -> tuple[Cell | None, ...]:
    firsts = [Cell(text, probability) for text, probability in outcome.alternatives]
    return (cell_of(outcome.text, outcome.logprobs), *firsts, *[None] * (width - len(firsts)))


def _label(scope: Patchscope) -> str:
    return " and ".join(f"{_layers(graft.source.layer)} -> {_layers(graft.layer)}" for graft in scope.grafts)


def _layers(layer: int | tuple[int, ...]) -> str:
    return str(layer) if isinstance(layer, int) else ",".join(map(str, layer))
