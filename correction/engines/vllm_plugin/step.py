"""What is known of a request with sites, and of one step of vLLM's batch: plain data that `sites` fills and reads."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from correction.mappings import Mapping
from correction.passes import Pass

LENS = -1  # in the place of a capture


@dataclass(eq=False)
class Write:
    """A patch whose mapping is applied as far as it does not need the state that it replaces: `rest` does."""

    layer: int
    position: int
    value: Tensor
    rest: Mapping


@dataclass(eq=False)
class Request:
    """A request with sites. `done`: indices of the patches that are in its keys and values."""

    wanted: Pass
    length: int
    writes: list[Write] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        """The last token position of its prompt that has a site."""
        positions = [capture.position % self.length for capture in self.wanted.captures]
        positions += [patch.position % self.length for patch in self.wanted.patches]
        return max([*positions, self.length - 1 if self.wanted.lens is not None else 0])

    @property
    def follows(self) -> bool:
        return any(capture.follow for capture in self.wanted.captures)


@dataclass(eq=False)
class Step:
    """One step. Rows are those of the batch's hidden states, (tokens, width).

    writes: layer -> rest of the mapping -> [(row, value)]. reads: layer -> [(row, request, capture or LENS, position)].
    exits: layer -> rows whose final state is that layer's; leaving: their requests. writers: (request, patch) of what
    is written. spans: of all requests the first row, their number, and the exit. skip: the layer from which on no block
    is needed, if there is one. total: all rows.

    The rest is what has happened so far: states of the reads and of the exits in the order of layers, rows written,
    what the lenses saw; and, for `leaving`, the rows that are still there, of how many, and what attention was told of
    all.
    """

    writes: dict[int, dict[Mapping, list[tuple[int, Tensor]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    reads: dict[int, list[tuple[int, str, int, int]]] = field(default_factory=lambda: defaultdict(list))
    exits: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    writers: list[tuple[str, int]] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    spans: list[tuple[int, int, int | None]] = field(default_factory=list)
    skip: int | None = None
    total: int = 0
    states: list[Tensor] = field(default_factory=list)
    left: list[Tensor] = field(default_factory=list)
    written: int = 0
    lens_names: list[str] = field(default_factory=list)
    lenses: Tensor = field(default_factory=lambda: torch.empty(0))
    rows: Tensor | None = None
    batch: int = 0
    attention: tuple[Any, Any] | None = None

    @property
    def sites(self) -> list[tuple[int, str, int, int]]:
        """The rows of `states`, as `reads` has them."""
        return [site for layer in sorted(self.reads) for site in self.reads[layer]]

    @property
    def expected(self) -> int:
        """How many rows a layer has at least."""
        return self.total if self.rows is None else len(self.rows)

    def among(self, rows: Tensor) -> Tensor:
        """Where these rows of the batch are among those that are still there."""
        return rows if self.rows is None else torch.searchsorted(self.rows, rows)
