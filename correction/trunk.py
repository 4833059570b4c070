"""A batch of prompts run once, clean: what patched continuations of them share. See `correction.grid`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from correction.architecture import Blocks
from correction.errors import UnsupportedModel
from correction.hooks import Arguments, returns_tuple, skipping, visiting

# What a block is told about places: dimensions of queries and of keys, counted from the last.
PLACED = {"attention_mask": (-2, -1), "alibi": (None, -1)}


@dataclass(eq=False)
class Trunk:
    """Left-padded prompts run once. Columns are padded token positions; the tail is the last `tail` columns.

    tokens, positions: (rows, columns) with the generated columns' positions after them. sites: column of i* in the
    tail. states: by layer, (rows, tail, width). keys, values: by block, (rows, heads, columns, head width). places: by
    block, what `PLACED` names, for prompt and generated columns.
    """

    model: PreTrainedModel
    parts: Blocks
    tokens: Tensor
    mask: Tensor
    positions: Tensor
    tail: int
    sites: Tensor
    states: list[Tensor]
    keys: list[Tensor]
    values: list[Tensor]
    places: list[dict[str, Tensor]]
    as_tuple: bool

    @property
    def columns(self) -> int:
        return self.tokens.shape[1]

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        parts: Blocks,
        prompts: Sequence[Sequence[int]],
        positions: Sequence[int],
        max_tokens: int,
        pad: int,
    ) -> Trunk:
        """Runs the prompts, each with the index of its i*. Raises `UnsupportedModel` without keys and values."""
        device = model.get_input_embeddings().weight.device
        columns = max(len(prompt) for prompt in prompts)
        shifts = [columns - len(prompt) for prompt in prompts]
        tail = max(len(prompt) - position for prompt, position in zip(prompts, positions, strict=True))
        tokens = torch.tensor([[pad] * n + list(p) for n, p in zip(shifts, prompts, strict=True)], device=device)
        real = torch.tensor([[0] * n + [1] * (columns + max_tokens - n) for n in shifts], device=device)
        places = (real.cumsum(-1) - 1).clamp_min(0)
        states: list[Tensor] = []

        def keep(hidden: Tensor) -> Tensor:
            states.append(hidden[:, -tail:].clone())
            return hidden

        cache = DynamicCache()
        with visiting(parts, dict.fromkeys(range(parts.depth + 1), keep)):
            model(
                input_ids=tokens,
                attention_mask=real[:, :columns],
                position_ids=places[:, :columns],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        trunk = cls(
            model,
            parts,
            tokens,
            real,
            places,
            tail,
            torch.tensor([n + p for n, p in zip(shifts, positions, strict=True)], device=device) - (columns - tail),
            states,
            *_key_values(cache, parts.depth),
            [],
            returns_tuple(model, parts),
        )
        trunk.places = trunk._ask_places(pad)
        return trunk

    def _ask_places(self, pad: int) -> list[dict[str, Tensor]]:
        """What the model tells its blocks about places, for the prompt and all that may be generated after it."""
        columns = self.mask.shape[1]
        places: list[dict[str, Tensor]] = [{} for _ in self.parts.blocks]
        plain: Tensor | None = None

        def note(index: int, arguments: Arguments) -> None:
            nonlocal plain
            given = {name: arguments.get(name) for name in PLACED}
            if "attention_mask" in given and given["attention_mask"] is None:
                # The attention functions' short form of "causal, nothing padded".
                if plain is None:
                    plain = self.mask.new_ones(1, 1, columns, columns, dtype=torch.bool).tril()
                given["attention_mask"] = plain
            places[index] = {name: value for name, value in given.items() if isinstance(value, Tensor)}

        tokens = torch.nn.functional.pad(self.tokens, (0, columns - self.columns), value=pad)
        with skipping(self.parts, range(self.parts.depth), as_tuple=self.as_tuple, seen=note):
            self.model(
                input_ids=tokens,
                attention_mask=self.mask,
                position_ids=self.positions,
                use_cache=False,
                logits_to_keep=1,
            )
        for given in places:
            mask = given.get("attention_mask")
            if any(value.shape[-1] != columns for value in given.values()) or (mask is not None and mask.dim() != 4):
                raise UnsupportedModel(
                    "the blocks' attention mask has an unknown form", hint="use sdpa or eager attention"
                )
        return places


def _key_values(cache: DynamicCache, depth: int) -> tuple[list[Tensor], list[Tensor]]:
    layers = cache.layers[:depth]
    if len(layers) != depth or not all(isinstance(layer, DynamicLayer) for layer in layers):
        raise UnsupportedModel(
            "the model keeps no keys and values in its cache",
            hint="take one of the decoders that 'hopfix models' lists",
        )
    return [layer.keys for layer in layers], [layer.values for layer in layers]
