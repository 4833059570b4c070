"""The tuned lens: the logit lens through an affine map fitted for each layer, l -> L (Belrose et al. 2023).

Row "Tuned lens" of the paper's Table 1: T = S up to i, i* = i, f = affine, M* = M, l* = L. Unlike Belrose et al., who
train the maps on the KL divergence of the outputs, hopfix fits them to the states themselves, as the paper does.
"""

from __future__ import annotations

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.mappings import Mapping
from correction.patchscope import Graft, Source
from correction.questions import BLANK
from correction.scopes.logit_lens import lens
from correction.scopes.request import Request
from correction.scopes.table import Table


async def tuned_lens(inspector: Inspector, request: Request) -> Table:
    """As the logit lens. The mapping's name has `{}` for the layer: `lens-{}.safetensors`, a file a layer."""
    title = (
        f"Tuned lens: the next token that each layer's state gives through {request.mapping}, the last norm and head"
    )
    return await lens(inspector, request, lambda layer: layer_mapping(inspector, request, layer), "tuned-lens", title)


def layer_mapping(inspector: Inspector, request: Request, layer: int) -> Mapping:
    """The request's mapping l -> L for a layer l; raises `InvalidInput` for one that was fitted for other layers."""
    name = (request.mapping or "identity").replace(BLANK, str(layer))
    depth = inspector.host(request.model).loaded.parts.depth
    source = Source(prompt=request.prompts[0], layer=layer, model=request.model)
    if notes := inspector.notes(Graft(source=source, layer=depth, mapping=name), request.model):
        raise InvalidInput(
            f"{name}: {notes[0]}",
            hint=f"fit it for l -> {depth}; name a file a layer with {BLANK} for l, or choose --layers",
            param="mapping",
        )
    return inspector.mapping(name, request.model, request.model)
