"""Entity description: what the model takes an entity for, layer by layer, by a few-shot prompt of descriptions.

Row "Few-shot entity description Patchscope" of the paper's Table 1 (section 4.3, entity resolution in early layers):
T = "subject: description, ..., x", i* = x, f = identity, M* = M, l* = l.
"""

from __future__ import annotations

from correction.inspector import Inspector
from correction.scopes.common import layer_table, patchscope_of, target_of
from correction.scopes.request import Request
from correction.scopes.table import Table

PROMPT = (
    "Syria: Country in the Middle East, Leonardo DiCaprio: American actor, "
    "Samsung: South Korean multinational major appliance and consumer electronics corporation, {}"
)


async def entity_description(inspector: Inspector, request: Request) -> Table:
    """The description at each layer, for l* = l, or over a grid where target layers are given."""
    patchscope = patchscope_of(request, target_of(inspector, request, PROMPT))
    title = "Entity description: what the prompt says that the state is"
    note = "the placeholder's own early layers still speak in long answers: see correction.signatures.contamination"
    return await layer_table(inspector, request, patchscope, "entity-description", title, (note,))
