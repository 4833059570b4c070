"""Step by step through a model's own forward: the prompt, then a token at a time, with whatever cache the model keeps.

Decoders keep keys and values, recurrent models (Mamba) their state; an encoder-decoder (T5) reads the prompt with its
encoder once and starts the answer with its start token. Patches and captures are hooks elsewhere: nothing here sees
them.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class Steps(Protocol):
    """`step(None)` reads the prompts, `step(tokens)` a token more of each row; gives next-token logits, (rows, ids)."""

    def step(self, tokens: Tensor | None) -> Tensor: ...

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone, after the first step."""
        ...


def steps_of(model: PreTrainedModel, tokens: Tensor, mask: Tensor, cache: DynamicCache | None = None) -> Steps:
    """For left-padded prompts (rows, columns) and their mask, 1 where there is a token; with a cache of what stands
    before them the mask has its columns too."""
    if model.config.is_encoder_decoder:
        return _EncoderDecoder(model, tokens, mask)
    return _Decoder(model, tokens, mask, cache)


def read_prompts(model: PreTrainedModel, tokens: Tensor, mask: Tensor, cache: DynamicCache | None = None) -> None:
    """Reads the prompts for what hooks take from them: no cache is kept, no head is run."""
    if model.config.is_encoder_decoder:
        model.get_encoder()(input_ids=tokens, attention_mask=mask)
    else:
        kept = {} if cache is None else {"past_key_values": cache}
        model.base_model(input_ids=tokens, use_cache=cache is not None, **kept, **_placed(model, tokens, mask))


def _placed(model: PreTrainedModel, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Mask and places of the last tokens of rows whose whole mask this is."""
    if _recurrent(model):
        return {"attention_mask": mask[:, -tokens.shape[1] :]}
    return {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp_min(0)[:, -tokens.shape[1] :]}


def _recurrent(model: PreTrainedModel) -> bool:
    return "cache_params" in inspect.signature(model.forward).parameters


class _Decoder:
    def __init__(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor, cache: DynamicCache | None) -> None:
        self.model, self.tokens, self.mask = model, tokens, mask
        self.cached = "cache_params" if _recurrent(model) else "past_key_values"
        self.cache: Any = cache

    def step(self, tokens: Tensor | None) -> Tensor:
        read = self.tokens
        if tokens is not None:
            read = tokens.unsqueeze(-1)
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=-1)
        output = self.model(
            input_ids=read,
            use_cache=True,
            logits_to_keep=1,
            **{self.cached: self.cache},
            **_placed(self.model, read, self.mask),
        )
        self.cache = output[self.cached]
        logits: Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: Tensor) -> None:
        self.mask = self.mask[rows]
        self.cache.reorder_cache(rows)


class _EncoderDecoder:
    def __init__(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor) -> None:
        self.model, self.tokens, self.mask = model, tokens, mask
        self.encoded: Any = None
        self.cache: Any = None

    def step(self, tokens: Tensor | None) -> Tensor:
        if self.encoded is None:
            self.encoded = self.model.get_encoder()(input_ids=self.tokens, attention_mask=self.mask)
        if tokens is None:
            tokens = self.tokens.new_full((len(self.tokens),), self.model.config.decoder_start_token_id)
        output = self.model(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=tokens.unsqueeze(-1),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = output.past_key_values
        logits: Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: Tensor) -> None:
        self.mask = self.mask[rows]
        self.encoded = BaseModelOutput(last_hidden_state=self.encoded.last_hidden_state[rows])
        self.cache.reorder_cache(rows)
