"""Cross-model patching: the states of one model in the words of another (section 4.4).

Rows with M* != M of the paper's Table 1: T = the token identity prompt unless another is given, i* = the placeholder,
every l and l*. Models of different widths need a mapping fitted for the pair; models with the same tokenizer can use
`vocabulary` or `hard_token` instead.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.scopes.common import grid_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Table
from correction.scopes.token_identity import PLACEHOLDER, PROMPT


async def cross_model(inspector: Inspector, request: Request) -> Table:
    """The grid of l in M and l* in M*. Raises `InvalidInput` for models that the mapping cannot join."""
    source, target = inspector.host(request.model).loaded, inspector.host(request.target_model).loaded
    own = () if request.target else (PROMPT, PLACEHOLDER)
    patchscope = patchscope_of(request, target_of(inspector, request, *own))
    title = f"Cross-model: states of {source.name} in {target.name}, asked {patchscope.target.prompt!r}"
    return await grid_table(inspector, request, patchscope, "cross-model", title)
