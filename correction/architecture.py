"""Where an architecture keeps its block stack, embedding, final norm and head: all the custom forward must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from correction.errors import UnsupportedModel

Part = TypeVar("Part", bound=nn.Module)

# The accessor table: what architectures call their parts. A new name goes here, and nowhere else.
STACKS = ("language_model", "decoder", "backbone")  # where the base model is not itself the stack
BLOCKS = ("layers", "h", "block", "blocks")
NORMS = ("norm", "final_layer_norm", "ln_f", "final_layernorm", "norm_f")


@dataclass(frozen=True, eq=False)
class Blocks:
    """The parts of a decoder. Layer k is what `blocks[k]` receives; layer L what the last block gives.

    Of an encoder-decoder the blocks are the encoder's, which reads the prompt.
    """

    embedding: nn.Module
    blocks: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    logit_cap: float | None = None
    logit_scale: float = 1.0
    predicts: bool = True

    @classmethod
    def of(cls, model: PreTrainedModel) -> Blocks:
        """Finds the parts by the names above, else by their kind; raises `UnsupportedModel` if it cannot."""
        stack = _stack(model)
        blocks = named(stack, BLOCKS, nn.ModuleList) or _only_block_list(stack)
        norm = named(stack, NORMS, nn.Module) or _last_norm(stack)
        head = model.get_output_embeddings()
        embedding = (model.get_encoder() if model.config.is_encoder_decoder else model).get_input_embeddings()
        if blocks is None or norm is None or head is None or embedding is None:
            raise UnsupportedModel(
                f"cannot find the parts of {type(model).__name__}: looked for one block list (named "
                f"{', '.join(BLOCKS)}, or the only list of blocks), a final norm (named {', '.join(NORMS)}, or the "
                f"last child called a norm), and input and output embeddings",
                hint="add its names to the table in correction/architecture.py",
            )
        config = model.config.get_text_config()
        cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        scale = getattr(config, "logit_scale", None) or 1 / (
            getattr(config, "logits_scaling", None) or 1
        )  # Cohere, Granite
        return cls(embedding, blocks, norm, head, cap, float(scale), not model.config.is_encoder_decoder)

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return len(self.blocks)

    def predict(self, states: Tensor) -> Tensor:
        """Logits that the head gives states of the last layer, (rows, vocabulary): the logit lens for any others.

        Raises `UnsupportedModel` for an encoder's states, which no head reads.
        """
        if not self.predicts:
            raise UnsupportedModel(
                "the states of an encoder predict no token", hint="choose another mapping, or a causal language model"
            )
        logits = self.head(self.norm(states.to(next(self.head.parameters())))) * self.logit_scale
        assert isinstance(logits, Tensor)
        return logits if self.logit_cap is None else self.logit_cap * torch.tanh(logits / self.logit_cap)

    def lookup(self, tokens: Tensor) -> Tensor:
        """What the embedding gives for these tokens, (rows,) -> (rows, width), scaling included."""
        return self.embeddings()[tokens]

    def mix(self, probabilities: Tensor) -> Tensor:
        """The expected embedding of a token drawn with these probabilities, (rows, vocabulary) -> (rows, width)."""
        table = self.embeddings()
        return probabilities.to(table) @ table

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


def _stack(model: PreTrainedModel) -> nn.Module:
    base = model.base_model
    if getattr(model.config, "is_encoder_decoder", False):
        encoder = model.get_encoder()
        assert isinstance(encoder, nn.Module)
        return encoder
    return named(base, STACKS, nn.Module) or base


def named(parent: nn.Module, names: tuple[str, ...], kind: type[Part]) -> Part | None:
    """The first child of that kind that has one of the names."""
    return next((part for name in names if isinstance(part := getattr(parent, name, None), kind)), None)


def _only_block_list(stack: nn.Module) -> nn.ModuleList | None:
    lists = [child for child in stack.children() if isinstance(child, nn.ModuleList) and len(child)]
    return lists[0] if len(lists) == 1 else None


def _last_norm(stack: nn.Module) -> nn.Module | None:
    return next((c for c in reversed(list(stack.children())) if "norm" in type(c).__name__.lower()), None)
