"""Where an architecture keeps its block stack, embedding, final norm and head: all the custom forward must know."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from correction.errors import UnsupportedModel

_BLOCKS = ("layers", "h", "blocks")
_NORMS = ("norm", "final_layer_norm", "ln_f", "final_layernorm")


@dataclass(frozen=True, eq=False)
class Blocks:
    """The parts of a decoder. Layer k is what `blocks[k]` receives; layer L what the last block gives."""

    embedding: nn.Module
    blocks: nn.ModuleList
    norm: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, model: PreTrainedModel) -> Blocks:
        """Finds the parts by the names that Hugging Face models give them; raises `UnsupportedModel` if it cannot."""
        base = model.base_model
        base = getattr(base, "decoder", base)
        blocks = next((b for name in _BLOCKS if isinstance(b := getattr(base, name, None), nn.ModuleList)), None)
        norm = next((n for name in _NORMS if isinstance(n := getattr(base, name, None), nn.Module)), None)
        head = model.get_output_embeddings()
        embedding = model.get_input_embeddings()
        if blocks is None or norm is None or head is None or embedding is None:
            raise UnsupportedModel(
                f"cannot find the parts of {type(model).__name__}: looked for a block list named "
                f"{', '.join(_BLOCKS)}, a final norm named {', '.join(_NORMS)}, and input and output embeddings"
            )
        return cls(embedding, blocks, norm, head)

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return len(self.blocks)

    def predict(self, states: Tensor) -> Tensor:
        """Logits that the head gives states of the last layer, (rows, vocabulary): the logit lens for any others."""
        logits = self.head(self.norm(states))
        assert isinstance(logits, Tensor)
        return logits

    def embeddings(self) -> Tensor:
        """What the embedding gives for every token of the vocabulary, (vocabulary, width), scaling included."""
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
        if type(self.embedding) is nn.Embedding:
            return weight
        tokens = torch.arange(weight.shape[0], device=weight.device)
        table = self.embedding.forward(tokens)  # not through its hooks, one of which may be asking
        assert isinstance(table, Tensor)
        return table
