"""Back-patching: states of later layers into earlier layers of the same prompt (Biran et al. 2024, arXiv 2406.12775).

An intervention in the terms of the paper's Table 1: T = S, i* = i, f = identity, M* = M, l* < l.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.patchscope import Target
from correction.scopes.common import grid_table, patchscope_of, source_of
from correction.scopes.request import Request
from correction.scopes.table import Table


async def back_patching(inspector: Inspector, request: Request) -> Table:
    """The grid below its diagonal. l* = l changes nothing with the identity: these cells are the plain answer."""
    source = source_of(request)
    target = Target(prompt=source.prompt, layer=0, position=source.position, model=source.model)
    return await grid_table(
        inspector,
        request,
        patchscope_of(request, target),
        "back-patching",
        f"Back-patching: the answer to {request.prompt!r} with a later layer's state written into an earlier one",
        defined=lambda layer, target_layer: target_layer <= layer,
        notes=("cells on the diagonal, l* = l, are the plain answer unless a mapping changes the state",),
    )
