"""The custom forward: the model's own forward, with states read and overwritten on the way, for a batch of passes.

No block is written again. Hooks stand at the inputs of the blocks that a batch reads or writes; each handles all rows
of its layer in one indexed operation, so that rows with different sites, mappings and prompts share a batch. Rows are
left-padded, with an attention mask and position ids, and generate with a KV cache; a patch belongs to the prompt and is
written in the first step only. This is the plain path: later fast paths are tested against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from correction.architecture import Blocks
from correction.errors import PatchNotApplied
from correction.mappings import Mapping, check_finite
from correction.passes import Pass

_Writes = dict[tuple[Mapping, Blocks], list[tuple[int, int, Tensor]]]
_EMBEDDING = -1  # the site of embedding-space patches at layer 0: the embedding's own output


@dataclass
class Row:
    """What one pass of a batch has given so far; `logprobs` of each token, `top` of the first one."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[tuple[int, float]] = field(default_factory=list)
    states: list[list[Tensor]] = field(default_factory=list)
    patched: int = 0
    stopped: bool = False


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

    `abandoned(row)` is asked before each step: a row that nobody waits for any more stops there.
    Raises `PatchNotApplied` if any patch of the batch was not written.
    """
    device = model.get_input_embeddings().weight.device
    width = max(len(request.prompt) for request in passes)
    shifts = [width - len(request.prompt) for request in passes]
    tokens = torch.tensor(
        [[pad] * shift + list(p.prompt) for shift, p in zip(shifts, passes, strict=True)], device=device
    )
    mask = torch.tensor([[0] * shift + [1] * (width - shift) for shift in shifts], device=device)
    rows = [Row(states=[[] for _ in request.captures]) for request in passes]
    sites = _Sites(parts, passes, shifts, rows)
    cache: Any = None
    first_step = True
    while True:
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -tokens.shape[1] :]
        with sites.hooked(first_step):
            output = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        if first_step:
            _check_patched(passes, rows)
        cache = output.past_key_values
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        best = logprobs.max(-1)
        chosen = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        for number, (row, request, (token, logprob)) in enumerate(zip(rows, passes, chosen, strict=True)):
            if first_step and request.sampling.top_logprobs:
                top = logprobs[number].topk(min(request.sampling.top_logprobs, logprobs.shape[-1]))
                row.top = list(zip(top.indices.tolist(), top.values.exp().tolist(), strict=True))
            if row.stopped or len(row.tokens) >= request.sampling.max_tokens:
                continue
            if token in stop or abandoned(number):
                row.stopped = True
            else:
                row.tokens.append(token)
                row.logprobs.append(logprob)
        sites.running = [
            not row.stopped and len(row.tokens) < request.sampling.max_tokens
            for row, request in zip(rows, passes, strict=True)
        ]
        if not any(sites.running):
            return rows
        tokens = best.indices.unsqueeze(-1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
        first_step = False


def _check_patched(passes: Sequence[Pass], rows: Sequence[Row]) -> None:
    for request, row in zip(passes, rows, strict=True):
        if row.patched != len(request.patches):
            raise PatchNotApplied(f"{row.patched} of {len(request.patches)} patches were applied")


class _Sites:
    """The sites of a batch by layer, and the hooks that serve them."""

    def __init__(self, parts: Blocks, passes: Sequence[Pass], shifts: Sequence[int], rows: list[Row]) -> None:
        self.parts = parts
        self.rows = rows
        self.running = [True] * len(rows)
        # layer -> (mapping, origin) -> [(row, padded position, state)]; layer -> [(row, padded position, capture)]
        self.patches: dict[int, _Writes] = defaultdict(lambda: defaultdict(list))
        self.captures: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self.follows: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for number, (request, shift) in enumerate(zip(passes, shifts, strict=True)):
            length = len(request.prompt)
            for patch in request.patches:
                check_finite(patch.state)
                in_embedding = patch.layer == 0 and patch.mapping.embeds
                site = (number, shift + patch.position % length, patch.state)
                through = (patch.mapping, patch.origin or parts)
                self.patches[_EMBEDDING if in_embedding else patch.layer][through].append(site)
            for index, capture in enumerate(request.captures):
                self.captures[capture.layer].append((number, shift + capture.position % length, index))
                if capture.follow:
                    self.follows[capture.layer].append((number, 0, index))

    @contextmanager
    def hooked(self, first_step: bool) -> Iterator[None]:
        """Hooks for one step: patches and captures of the prompt in the first, followed states in the others."""
        captures = self.captures if first_step else self.follows
        layers = sorted({*captures, *(self.patches if first_step else ())})
        handles = [self._hook(layer, captures.get(layer, []), first_step) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: int, captures: list[tuple[int, int, int]], first_step: bool) -> Any:
        def visit(hidden: Tensor) -> Tensor:
            if first_step and layer in self.patches:
                hidden = self._write(hidden, self.patches[layer])
            self._read(hidden, captures)
            return hidden

        def before_block(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (visit(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": visit(kwargs["hidden_states"])}

        def after_module(module: nn.Module, args: Any, output: Any) -> Any:
            # A block returns a bare tensor since transformers 5, but not every architecture has followed.
            return (visit(output[0]), *output[1:]) if isinstance(output, tuple) else visit(output)

        if layer == _EMBEDDING:
            return self.parts.embedding.register_forward_hook(after_module)
        if layer == self.parts.depth:
            return self.parts.blocks[-1].register_forward_hook(after_module)
        return self.parts.blocks[layer].register_forward_pre_hook(before_block, with_kwargs=True)

    def _write(self, hidden: Tensor, patches: _Writes) -> Tensor:
        hidden = hidden.clone()
        for (mapping, origin), sites in patches.items():
            rows = torch.tensor([row for row, _, _ in sites], device=hidden.device)
            positions = torch.tensor([position for _, position, _ in sites], device=hidden.device)
            source = torch.stack([state for _, _, state in sites]).to(hidden.device, hidden.dtype)
            hidden[rows, positions] = mapping(source, hidden[rows, positions], origin, self.parts).to(hidden.dtype)
            for row, _, _ in sites:
                self.rows[row].patched += 1
        return hidden

    def _read(self, hidden: Tensor, captures: list[tuple[int, int, int]]) -> None:
        for row, position, index in captures:
            if self.running[row]:
                self.rows[row].states[index].append(hidden[row, position].clone())
