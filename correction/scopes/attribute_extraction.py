"""Zero-shot feature extraction: a subject's attribute, read from its state by a prompt that names the relation.

Row "Zero-shot feature extraction" of the paper's Table 1 (section 4.2): T = the relation in words, then x,
i* = the placeholder, f = identity, M* = M, every l and l*. The source's subject and relation need not be there.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.scopes.common import grid_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Table


async def attribute_extraction(inspector: Inspector, request: Request) -> Table:
    """The grid of l and l*. The position is the subject's last token; the target verbalises the relation."""
    patchscope = patchscope_of(request, target_of(inspector, request))
    title = f"Attribute extraction: {patchscope.target.prompt!r} with the state of {source_text(request)} for x"
    return await grid_table(inspector, request, patchscope, "attribute-extraction", title)


def source_text(request: Request) -> str:
    """The site in words, for titles."""
    place = "the last token" if request.position in (None, -1) else repr(request.position)
    return f"{place} in {request.prompt!r}"
