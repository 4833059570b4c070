"""The parts of vLLM's model that mappings read: `correction.architecture.Blocks` for weights that may be spread out.

Under tensor parallelism head and embedding are cut along the vocabulary, under pipeline parallelism they are on the
last and the first rank. Every rank calls the same methods in the same order, so each can take part in what one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from correction.architecture import BLOCKS, NORMS, named


@dataclass(frozen=True, eq=False)
class VLLMParts:
    """blocks: by index, those of this rank. embedding, norm: None where this rank has none."""

    model: Any
    depth: int
    width: int
    vocabulary: int
    dtype: torch.dtype
    device: torch.device
    blocks: dict[int, nn.Module]
    embedding: Any
    norm: nn.Module | None
    scale: float  # of what the embedding gives, before a block receives it (Gemma)

    @classmethod
    def of(cls, model: nn.Module, config: Any, device: torch.device) -> VLLMParts:
        """Finds the parts; raises `RuntimeError`, which ends vLLM's start, if it cannot."""
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

        depth = config.get_total_num_hidden_layers()
        stacks = [
            (module, blocks)
            for module in model.modules()
            if (blocks := named(module, BLOCKS, nn.ModuleList)) is not None and len(blocks) == depth
        ]
        if len(stacks) != 1:
            raise RuntimeError(f"hopfix cannot find the {depth} blocks of {type(model).__name__}")
        stack, blocks = stacks[0]
        norm = named(stack, NORMS, nn.Module)
        embeddings = [
            module
            for module in model.modules()
            if isinstance(module, VocabParallelEmbedding) and not isinstance(module, ParallelLMHead)
        ]
        return cls(
            model,
            depth,
            config.get_hidden_size(),
            config.get_vocab_size(),
            config.dtype,
            device,
            _present(blocks),
            embeddings[0] if embeddings else None,
            None if _missing(norm) else norm,
            _scale(model, embeddings[0], device) if embeddings and 0 in _present(blocks) else 1.0,
        )

    def predict(self, states: Tensor) -> Tensor:
        """Logits of states of the last layer, (rows, vocabulary), on every rank."""
        from vllm.distributed import get_pp_group

        group = get_pp_group()
        logits = self.own_logits(states) if group.is_last_rank else states.new_empty(len(states), self.vocabulary)
        return _shared(logits, group, group.world_size - 1)

    def own_logits(self, states: Tensor) -> Tensor:
        """The same on the ranks of the last stage alone."""
        assert self.norm is not None
        normed = self.norm(states)
        logits = self.model.compute_logits(normed[0] if isinstance(normed, tuple) else normed)
        assert isinstance(logits, Tensor)
        return logits

    def lookup(self, tokens: Tensor) -> Tensor:
        """The embeddings of tokens as the first block receives them, (rows, width), on every rank."""
        return self._embedded(len(tokens), lambda: self.scale * self.embedding(tokens))

    def mix(self, probabilities: Tensor) -> Tensor:
        """The expected embedding, (rows, width), on every rank."""
        from vllm.distributed import tensor_model_parallel_all_reduce

        def mixed() -> Tensor:
            own = self.embedding.shard_indices
            begin, end = own.org_vocab_start_index, own.org_vocab_end_index
            table = self.embedding.weight[: end - begin]
            part: Tensor = self.scale * (probabilities[:, begin:end].to(table) @ table)
            return part if self.embedding.tp_size == 1 else tensor_model_parallel_all_reduce(part)

        return self._embedded(len(probabilities), mixed)

    def _embedded(self, rows: int, give: Any) -> Tensor:
        from vllm.distributed import get_pp_group

        group = get_pp_group()
        given = give() if group.is_first_rank else torch.empty(rows, self.width, dtype=self.dtype, device=self.device)
        return _shared(given, group, 0)


def _missing(part: nn.Module | None) -> bool:
    """Whether another rank of the pipeline has it."""
    from vllm.model_executor.models.utils import PPMissingLayer

    return part is None or isinstance(part, PPMissingLayer)


def _present(blocks: nn.ModuleList) -> dict[int, nn.Module]:
    return {index: block for index, block in enumerate(blocks) if not _missing(block)}


@torch.inference_mode()
def _scale(model: Any, embedding: Any, device: torch.device) -> float:
    tokens = torch.arange(8, device=device)
    return float(model.embed_input_ids(tokens).float().norm() / embedding(tokens).float().norm())


def _shared(given: Tensor, group: Any, owner: int) -> Tensor:
    """What the owner's rank has, on every rank of the pipeline."""
    shared: Tensor = group.broadcast(given.contiguous(), src=owner)
    return shared
