"""The mapping that adds to what is there: noise for causal tracing, vectors for steering."""

from __future__ import annotations

from torch import Tensor


class Added:
    """f(h) = h* + h: the state that is replaced, plus the one that is written.

    With noise for h it is the corruption of causal tracing (Meng et al. 2022, section 2.1), with a difference of two
    states it steers.
    """

    name = "added"
    widths: tuple[int, int] | None = None
    embeds = False

    def __call__(self, source: Tensor, target: Tensor, origin: object, parts: object) -> Tensor:
        return target + source


ADDED = Added()
