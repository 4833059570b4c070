"""The prefix cache: whose keys and values may be shared with whom.

A block from the first patched position on is known by what was patched, too, and by vLLM's chain of hashes so are all
after it; blocks before it are shared with everyone. A request that leaves the model early shares with its like alone,
since the blocks of the model that it left out may have written no keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from correction.engines.vllm.wire import digest, outline
from correction.engines.vllm_plugin import KEY, text_of


@dataclass(frozen=True)
class Keys:
    """What the blocks of a request are known by beside their tokens and the blocks before them.

    exit: the layer it leaves the model at. first: the first token position that it patches. digest: of what it writes.
    """

    exit: int | None
    first: int | None
    digest: str

    @classmethod
    def of(cls, text: str, length: int) -> Keys:
        """Of a request with this text and a prompt of `length` tokens."""
        wanted = outline(text)
        first = min((position % length for _, position, _ in wanted.patches), default=None)
        return cls(wanted.exit, first, digest(text))

    def of_block(self, start: int, end: int) -> tuple[tuple[str, str], ...]:
        """Of the token positions [start, end)."""
        keys = [(KEY, f"exit {self.exit}")] if self.exit is not None and start == 0 else []
        keys += [(KEY, self.digest)] if self.first is not None and start <= self.first < end else []
        return tuple(keys)


def install() -> None:
    """Adds a request's own keys to those that vLLM gives each block."""
    from vllm.v1.core import block_pool, kv_cache_utils
    from vllm.v1.simple_kv_offload import manager as offload

    plain = kv_cache_utils.generate_block_hash_extra_keys

    def generate_block_hash_extra_keys(request: Any, start: int, end: int, mm: int) -> Any:
        keys, mm = plain(request, start, end, mm)
        text = text_of(request.sampling_params)
        if text is not None:
            own = vars(request).get(KEY) or vars(request).setdefault(KEY, Keys.of(text, request.num_prompt_tokens))
            keys = (*(keys or ()), *own.of_block(start, end)) or None
        return keys, mm

    for module in (kv_cache_utils, block_pool, offload):  # the latter two import the function by name
        module.generate_block_hash_extra_keys = generate_block_hash_extra_keys
