"""Beginnings that many prompts share, run once: the examples of a form, the system turn of a chat.

A prompt that begins with one enters the model after it and attends to the keys and values that are kept. Rows of one
batch may have different beginnings, or none: each row's kept part stands to the left of its own tokens, padded in
front, and the mask hides the padding of both.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from correction.passes import Pass

MOST = 16  # beginnings kept at once, the latest used ones
SHORTEST = 8  # tokens: a shorter one is as soon run as looked up


@dataclass(frozen=True, eq=False)
class Begun:
    """What is kept of a beginning: by block, keys and values of shape (1, heads, tokens, head width)."""

    length: int
    keys: list[Tensor]
    values: list[Tensor]


class Prefixes:
    """The beginnings that were announced (`share`), each run when a prompt first begins with it.

    Only for decoders whose cache holds plain keys and values for every block; for the others no beginning is found,
    and prompts run whole. Not for a sliding window that a prompt could outgrow: places in the cache would not be
    places in the text.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._shared: OrderedDict[tuple[int, ...], Begun | None] = OrderedDict()
        self._lock = Lock()  # beginnings are announced while the worker looks for them
        self._usable = not model.config.is_encoder_decoder and _keeps(model)

    def share(self, beginnings: Sequence[tuple[int, ...]]) -> None:
        """Announces beginnings; nothing is run yet."""
        with self._lock:
            for tokens in beginnings:
                if self._usable and len(tokens) >= SHORTEST and tokens not in self._shared:
                    self._shared[tokens] = None
                    if len(self._shared) > MOST:
                        self._shared.popitem(last=False)

    def begun(self, request: Pass) -> Begun | None:
        """The longest announced beginning of a pass's prompt in which nothing is read or written, run if it is new.

        It leaves the prompt a token of its own.
        """
        if request.sampling.prompt_logprobs is not None:
            return None
        length = len(request.prompt)
        read = [capture.position % length for capture in request.captures]
        written = [patch.position % length for patch in request.patches]
        most = min([length - 1, *read, *written])
        with self._lock:
            fitting = [t for t in self._shared if len(t) <= most and request.prompt[: len(t)] == t]
            return self._run(max(fitting, key=len)) if fitting else None

    def cache(self, begun: Sequence[Begun | None]) -> tuple[DynamicCache, Tensor] | None:
        """One cache for a batch of rows with these beginnings, and its mask, (rows, columns); None without any."""
        found = [one for one in begun if one is not None]
        if not found:
            return None
        columns = max(one.length for one in found)
        mask = torch.zeros(len(begun), columns, dtype=torch.long, device=found[0].keys[0].device)
        for row, one in enumerate(begun):
            if one is not None:
                mask[row, columns - one.length :] = 1
        cache = DynamicCache()
        for block in range(len(found[0].keys)):
            sides = []
            for name in ("keys", "values"):
                like = getattr(found[0], name)[block]
                kept = like.new_zeros(len(begun), like.shape[1], columns, like.shape[3])
                for row, one in enumerate(begun):
                    if one is not None:
                        kept[row, :, columns - one.length :] = getattr(one, name)[block][0]
                sides.append(kept)
            cache.update(*sides, block)
        return cache, mask

    def _run(self, tokens: tuple[int, ...]) -> Begun | None:
        self._shared.move_to_end(tokens)
        if (known := self._shared[tokens]) is not None:
            return known
        cache = DynamicCache(config=self._model.config)
        ids = torch.tensor([tokens], device=self._model.get_input_embeddings().weight.device)
        self._model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        if not _plain(cache):
            self._usable = False
            self._shared.clear()
            return None
        begun = Begun(len(tokens), [layer.keys for layer in cache.layers], [layer.values for layer in cache.layers])
        self._shared[tokens] = begun
        return begun


def _keeps(model: PreTrainedModel) -> bool:
    """Whether the model keeps keys and values, and not another kind of state as a recurrent one does."""
    return "past_key_values" in inspect.signature(model.forward).parameters


def _plain(cache: DynamicCache) -> bool:
    """Whether every block keeps all keys and values it is given."""
    return bool(cache.layers) and all(type(layer) is DynamicLayer for layer in cache.layers)
