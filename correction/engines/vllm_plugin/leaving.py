"""Early exit inside vLLM's batch, row by row: each block runs on the rows of those requests that still need it.

A request that leaves the model at layer k needs no block beyond it. Where a block takes nothing but positions, states
and residual, and attention is the CPU's, the other rows are gathered before the block and attention is told of them
alone; after the last block all rows are in their places again. Elsewhere blocks are left out when no request of the
step needs them. A request gets the same either way: `Sites` puts the state of its layer in the place of the last one's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from correction.engines.vllm_plugin.parts import VLLMParts
from correction.engines.vllm_plugin.step import Step

WORTH_IT = 0.5  # of the rows that are still there: gathering fewer than the rest saves less than it costs
NARROW = ["positions", "hidden_states", "residual"]  # what a block may take for its rows to be told apart


def runs_on_rows(kind: type[nn.Module]) -> bool:
    """Whether blocks of this kind can run on some of a batch's rows."""
    return [*inspect.signature(kind.forward).parameters][1:] == NARROW


class Leaving:
    """Gathers rows for the blocks of one model runner."""

    def __init__(self, runner: Any, parts: VLLMParts) -> None:
        self._runner = runner
        self._last = max(parts.blocks)
        self._names = {
            index: [
                found for module in block.modules() if isinstance(found := getattr(module, "layer_name", None), str)
            ]
            for index, block in parts.blocks.items()
        }

    def run(
        self, step: Step, layer: int, forward: Callable[..., Any], positions: Tensor, hidden: Tensor, residual: Any
    ) -> tuple[Tensor, Tensor]:
        """The block after `layer` on the rows that need it; what it returns has all rows after the last block."""
        staying = [n for n, (_, _, exit) in enumerate(step.spans) if exit is None or exit > layer]
        needed = sum(step.spans[n][1] for n in staying)
        if needed <= WORTH_IT * step.expected and needed < step.expected:
            hidden, residual = self._gather(step, layer, staying, hidden, residual)
        if step.rows is None:
            given: tuple[Tensor, Tensor] = forward(positions, hidden, residual)
            return given
        if staying:
            hidden, residual = forward(positions[step.rows], hidden, residual)
        if layer == self._last:
            hidden, residual = self._put_back(step, hidden), self._put_back(step, residual)
            step.rows = None
        return hidden, residual

    def _gather(
        self, step: Step, layer: int, staying: list[int], hidden: Tensor, residual: Tensor
    ) -> tuple[Tensor, Tensor]:
        spans = [step.spans[n] for n in staying]
        rows = torch.tensor([row for begin, count, _ in spans for row in range(begin, begin + count)], dtype=torch.long)
        if step.rows is None:
            step.batch = len(hidden)
        kept = step.among(rows)
        step.rows = rows
        if staying:
            self._tell_attention(step, layer, torch.tensor(staying), rows)
        return hidden[kept], residual[kept]

    def _tell_attention(self, step: Step, layer: int, staying: Tensor, rows: Tensor) -> None:
        from vllm.forward_context import get_forward_context

        context = get_forward_context()
        if step.attention is None:
            step.attention = context.attn_metadata, context.slot_mapping
        metadata, slots = step.attention
        told: dict[int, Any] = {}  # layers of a kind share what they are told
        names = [name for index, names in self._names.items() if index >= layer for name in names]
        for name in names:
            if id(metadata[name]) not in told:
                told[id(metadata[name])] = _narrowed(metadata[name], self._builder(name), staying, rows)
        context.attn_metadata = {**metadata, **{name: told[id(metadata[name])] for name in names}}
        context.slot_mapping = {**slots, **{name: slots[name][rows] for name in names}}

    def _builder(self, name: str) -> Any:
        groups = (group for groups in self._runner.attn_groups for group in groups)
        return next(group for group in groups if name in group.layer_names).get_metadata_builder()

    @staticmethod
    def _put_back(step: Step, states: Tensor) -> Tensor:
        assert step.rows is not None
        return states.new_zeros(step.batch, states.shape[-1]).index_copy_(0, step.rows, states)


def _narrowed(metadata: Any, builder: Any, staying: Tensor, rows: Tensor) -> Any:
    """What attention is told of a batch, for some of its requests and their rows."""
    begins = metadata.query_start_loc
    counts = (begins[1:] - begins[:-1])[staying]
    return builder.build(
        0,
        SimpleNamespace(
            num_reqs=len(staying),
            num_actual_tokens=len(rows),
            max_query_len=int(counts.max()),
            max_seq_len=metadata.max_seq_len,
            query_start_loc=torch.nn.functional.pad(counts.cumsum(0, dtype=begins.dtype), (1, 0)),
            seq_lens=metadata.seq_lens[staying],
            block_table_tensor=metadata.block_table[staying],
            slot_mapping=metadata.slot_mapping[rows],
            causal=metadata.causal,
            positions=None,
        ),
    )
