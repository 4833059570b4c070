"""The tuned lens: the logit lens through an affine map fitted for each layer, l -> L (Belrose et al. 2023).

Row "Tuned lens" of the paper's Table 1: T = S up to i, i* = i, f = affine, M* = M, l* = L. Unlike Belrose et al., who
train the maps on the KL divergence of the outputs, hopfix fits them to the states themselves, as the paper does.
"""

from __future__ import annotations

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.mappings import FittedMapping, Mapping, mapping_named
from correction.questions import BLANK
from correction.scopes.logit_lens import lens
from correction.scopes.request import Request
from correction.scopes.table import Table


async def tuned_lens(inspector: Inspector, request: Request) -> Table:
    """As the logit lens. The mapping's name has `{}` for the layer: `lens-{}.safetensors`, a file a layer."""
    title = (
        f"Tuned lens: the next token that each layer's state gives through {request.mapping}, the last norm and head"
    )
    return await lens(inspector, request, lambda layer: layer_mapping(request, layer), "tuned-lens", title)


def layer_mapping(request: Request, layer: int) -> Mapping:
    """The request's mapping for a layer; raises `InvalidInput` for a file that was fitted for another one."""
    name = (request.mapping or "identity").replace(BLANK, str(layer))
    mapping = mapping_named(name)
    if isinstance(mapping, FittedMapping) and mapping.fitted.source_layer != layer:
        raise InvalidInput(
            f"{name} was fitted for layer {mapping.fitted.source_layer}, not {layer}",
            hint=f"name a file a layer with {BLANK} for its number, or choose the layers that are fitted",
            param="mapping",
        )
    return mapping
