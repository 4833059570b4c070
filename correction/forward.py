"""The custom forward: the model's own forward, with states read and overwritten on the way, for a batch of passes.

No block is written again. Hooks stand at the inputs of the blocks that a batch reads or writes; each handles all rows
of its layer in one indexed operation, so that rows with different sites, mappings and prompts share a batch. Rows are
left-padded, with an attention mask and position ids, and generate with a KV cache; a patch belongs to the prompt and is
written in the first step only. This is the plain path: later fast paths are tested against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.errors import PatchNotApplied
from correction.hooks import EMBEDDING, Visit, exclusive, leaving_out, visiting
from correction.mappings import Mapping, check_finite
from correction.passes import Pass
from correction.steps import read_prompts, steps_of

_Writes = dict[tuple[Mapping, Blocks], list[tuple[int, int, Tensor]]]


@dataclass
class Row:
    """What one pass of a batch has given so far; `logprobs` of each token, `top`: the likeliest tokens of each step."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[list[tuple[int, float]]] = field(default_factory=list)
    states: list[list[Tensor]] = field(default_factory=list)
    patched: int = 0
    stopped: bool = False
    stop_logprob: float | None = None
    lens: float | None = None


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    parts: Blocks,
    passes: Sequence[Pass],
    *,
    stop: frozenset[int],
    pad: int,
    abandoned: Callable[[int], bool] = lambda row: False,
) -> list[Row]:
    """Runs a batch of passes to their ends, greedily. `stop` tokens end a row and are not part of it.

    All passes of a batch exit at the same layer. `abandoned(row)` is asked before each step: a row that nobody waits
    for any more stops there. Raises `PatchNotApplied` if any patch of the batch was not written.
    """
    (depth,) = {request.exit or parts.depth for request in passes}
    with exclusive(model), leaving_out(model, parts, range(depth, parts.depth)):
        return _generate(model, parts, passes, stop, pad, abandoned)


def _generate(
    model: PreTrainedModel,
    parts: Blocks,
    passes: Sequence[Pass],
    stop: frozenset[int],
    pad: int,
    abandoned: Callable[[int], bool],
) -> list[Row]:
    tokens, mask, shifts = padded(model, [request.prompt for request in passes], pad)
    rows = [Row(states=[[] for _ in request.captures]) for request in passes]
    sites = _Sites(parts, passes, shifts, rows)
    if not any(request.sampling.max_tokens or request.sampling.top_logprobs for request in passes):
        visits = sites.visits(first_step=True)
        with visiting(parts, visits, until=max(visits, default=None)):
            read_prompts(model, tokens, mask)
        _check_patched(passes, rows)
        return rows
    steps = steps_of(model, tokens, mask)
    fed: Tensor | None = None
    while True:
        with visiting(parts, sites.visits(fed is None)):
            logprobs = steps.step(fed).float().log_softmax(-1)
        if fed is None:
            _check_patched(passes, rows)
        _note_top(logprobs, passes, rows, sites.running)
        best = logprobs.max(-1)
        chosen = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        if fed is None:
            sites.read_lenses(best.indices)
        for number, (row, request, (token, logprob)) in enumerate(zip(rows, passes, chosen, strict=True)):
            if row.stopped or len(row.tokens) >= request.sampling.max_tokens:
                continue
            if token in stop or abandoned(number):
                row.stopped, row.stop_logprob = True, logprob
            else:
                row.tokens.append(token)
                row.logprobs.append(logprob)
        sites.running = [
            not row.stopped and len(row.tokens) < request.sampling.max_tokens
            for row, request in zip(rows, passes, strict=True)
        ]
        if not any(sites.running):
            return rows
        fed = best.indices


@torch.inference_mode()
def states(
    model: PreTrainedModel, parts: Blocks, prompts: Sequence[Sequence[int]], layers: Sequence[int], *, pad: int
) -> list[Tensor]:
    """For each prompt its hidden states, (layers, tokens, width). Blocks beyond the deepest layer never run."""
    tokens, mask, shifts = padded(model, prompts, pad)
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Visit:
        def seen(hidden: Tensor) -> Tensor:
            kept[layer] = hidden.clone()
            return hidden

        return seen

    with exclusive(model), visiting(parts, {layer: keep(layer) for layer in set(layers)}, until=max(layers)):
        read_prompts(model, tokens, mask)
    return [
        torch.stack([kept[layer][row, shift:].to(tokens.device) for layer in layers])
        for row, shift in enumerate(shifts)
    ]


def padded(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor, list[int]]:
    """Prompts as one left-padded batch: tokens and mask, (rows, columns), and the padding of each row."""
    device = model.get_input_embeddings().weight.device
    columns = max(len(prompt) for prompt in prompts)
    shifts = [columns - len(prompt) for prompt in prompts]
    tokens = torch.tensor([[pad] * n + list(p) for n, p in zip(shifts, prompts, strict=True)], device=device)
    mask = torch.tensor([[0] * n + [1] * (columns - n) for n in shifts], device=device)
    return tokens, mask, shifts


def _note_top(logprobs: Tensor, passes: Sequence[Pass], rows: Sequence[Row], running: Sequence[bool]) -> None:
    asked = [request.sampling.top_logprobs if on else 0 for request, on in zip(passes, running, strict=True)]
    if not any(asked):
        return
    top = logprobs.topk(min(max(asked), logprobs.shape[-1]))
    tokens, probabilities = top.indices.tolist(), top.values.exp().tolist()
    for number, (row, count) in enumerate(zip(rows, asked, strict=True)):
        if count:
            row.top.append(list(zip(tokens[number][:count], probabilities[number][:count], strict=True)))


def _check_patched(passes: Sequence[Pass], rows: Sequence[Row]) -> None:
    for request, row in zip(passes, rows, strict=True):
        if row.patched != len(request.patches):
            raise PatchNotApplied(f"{row.patched} of {len(request.patches)} patches were applied")


class _Sites:
    """The sites of a batch by layer, and the hooks that serve them."""

    def __init__(self, parts: Blocks, passes: Sequence[Pass], shifts: Sequence[int], rows: list[Row]) -> None:
        self.parts = parts
        self.device = next(parts.embedding.parameters()).device
        self.rows = rows
        self.running = [True] * len(rows)
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
                return hidden

            return seen

        return {
            layer: visit(layer) for layer in sorted({*captures, *((*self.patches, *self.lenses) if first_step else ())})
        }

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
        wanted = [site for site in captures if self.running[site[0]]]
        if not wanted:
            return
        rows, positions, _ = zip(*wanted, strict=True)
        read = hidden[list(rows), list(positions)].to(self.device)
        for (row, _, index), state in zip(wanted, read, strict=True):
            self.rows[row].states[index].append(state)
