"""Multi-hop correction: the state that resolves hop 1 takes the placeholder's place in hop 2 (section 5).

Row "Chain-of-thought Patchscope" of the paper: S = hop 1, i = its last token, T = hop 2 with x for the bridge, i* = x,
f = identity, M* = M, every l in 1..L and l* in 0..L-1. The paper counts a question as right if any cell is; which cell
to trust without the answer is what a profile is calibrated for.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.scopes.common import grid_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Table


async def multi_hop(inspector: Inspector, request: Request) -> Table:
    """The grid of l and l*: prompt = hop 1, target = hop 2."""
    patchscope = patchscope_of(request, target_of(inspector, request))
    title = f"Multi-hop: {patchscope.target.prompt!r} after {request.prompt!r}"
    return await grid_table(inspector, request, patchscope, "multi-hop", title)
