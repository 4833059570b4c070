"""The token identity Patchscope: a few-shot prompt that repeats tokens says which one a state stands for (section 4.1).

Row "Few-shot token identity Patchscope" of the paper's Table 1: T = "tok1 -> tok1 ... ?", i* = the last token,
f = identity, M* = M, l* = l. The prompt is that of the paper's figure 1; its notebook has 1135 for 135.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.scopes.common import layer_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Table

PROMPT = "cat -> cat\n135 -> 135\nhello -> hello\n{}"
PLACEHOLDER = "?"


async def token_identity(inspector: Inspector, request: Request) -> Table:
    """What the prompt makes of the state, for l* = l, or over a grid where target layers are given."""
    patchscope = patchscope_of(request, target_of(inspector, request, PROMPT, PLACEHOLDER))
    title = "Token identity: what a prompt that repeats tokens says for the state"
    return await layer_table(inspector, request, patchscope, "token-identity", title)
