"""The sites of a batch of passes: what its states are read for, and what is written over them, on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.hooks import EMBEDDING, Visit
from correction.mappings import Mapping, check_finite
from correction.passes import Pass

if TYPE_CHECKING:
    from correction.forward import Row

_Writes = dict[tuple[Mapping, Blocks], list[tuple[int, int, Tensor]]]


class Sites:
    """The sites by layer, and the hooks that serve them.

    running: the place in the batch of each row that goes on; in the first step the rows' places are their numbers.
    last: of rows whose prompt is scored, the last layer's states at all of its positions, (tokens, width).
    """

    def __init__(self, parts: Blocks, passes: Sequence[Pass], shifts: Sequence[int], rows: Sequence[Row]) -> None:
        self.parts = parts
        self.device = next(parts.embedding.parameters()).device
        self.rows = rows
        self.running = {number: number for number in range(len(rows))}
        self.scored: list[tuple[int, int]] = []  # (row, padding)
        self.last: dict[int, Tensor] = {}
        # layer -> (mapping, origin) -> [(row, padded position, state)]; layer -> [(row, padded position, capture)]
        self.patches: dict[int, _Writes] = defaultdict(lambda: defaultdict(list))
        self.captures: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self.follows: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self.lenses: dict[int, list[int]] = defaultdict(list)  # layer -> rows
        self.seen: dict[int, Tensor] = {}  # layer -> states of those rows at the last position
        for number, (request, shift) in enumerate(zip(passes, shifts, strict=True)):
            length = len(request.prompt)
            for patch in request.patches:
                in_embedding = patch.layer == 0 and patch.mapping.embeds
                site = (number, shift + patch.position % length, patch.state)
                through = (patch.mapping, patch.origin or parts)
                self.patches[EMBEDDING if in_embedding else patch.layer][through].append(site)
            if request.sampling.prompt_logprobs is not None:
                self.scored.append((number, shift))
            if request.lens is not None:
                self.lenses[request.lens].append(number)
            for index, capture in enumerate(request.captures):
                self.captures[capture.layer].append((number, shift + capture.position % length, index))
                if capture.follow:
                    self.follows[capture.layer].append((number, 0, index))

    def visits(self, first_step: bool) -> dict[int, Visit]:
        """What to do at each layer in one step: patches and captures of the prompt, or states that are followed."""
        captures = self.captures if first_step else self.follows

        def visit(layer: int) -> Visit:
            def seen(hidden: Tensor) -> Tensor:
                if first_step and layer in self.patches:
                    hidden = self._write(hidden, self.patches[layer])
                self._read(hidden, captures.get(layer, []))
                if first_step and layer in self.lenses:
                    self.seen[layer] = hidden[self.lenses[layer], -1]
                if first_step and layer == self.parts.depth:
                    self.last = {number: hidden[number, shift:].clone() for number, shift in self.scored}
                return hidden

            return seen

        layers = {*captures}
        if first_step:
            layers |= {*self.patches, *self.lenses} | ({self.parts.depth} if self.scored else set())
        return {layer: visit(layer) for layer in sorted(layers)}

    def read_lenses(self, first: Tensor) -> None:
        """Notes how likely the lens finds each row's first token, (rows,)."""
        for layer, numbers in self.lenses.items():
            logprobs = self.parts.predict(self.seen[layer]).float().log_softmax(-1)
            read = logprobs.gather(-1, first[numbers].to(logprobs.device).unsqueeze(-1)).exp().squeeze(-1)
            for number, probability in zip(numbers, read.tolist(), strict=True):
                self.rows[number].lens = probability

    def _write(self, hidden: Tensor, patches: _Writes) -> Tensor:
        hidden = hidden.clone()
        for (mapping, origin), sites in patches.items():
            rows = torch.tensor([row for row, _, _ in sites], device=hidden.device)
            positions = torch.tensor([position for _, position, _ in sites], device=hidden.device)
            source = torch.stack([state for _, _, state in sites])
            check_finite(source)
            source = source.to(hidden.device, hidden.dtype if source.is_floating_point() else None)
            hidden[rows, positions] = mapping(source, hidden[rows, positions], origin, self.parts).to(hidden)
            for row, _, _ in sites:
                self.rows[row].patched += 1
        return hidden

    def _read(self, hidden: Tensor, captures: list[tuple[int, int, int]]) -> None:
        wanted = [site for site in captures if site[0] in self.running]
        if not wanted:
            return
        places = [self.running[row] for row, _, _ in wanted]
        read = hidden[places, [position for _, position, _ in wanted]].to(self.device)
        for (row, _, index), state in zip(wanted, read, strict=True):
            self.rows[row].states[index].append(state)
