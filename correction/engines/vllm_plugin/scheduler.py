"""The engine core's part: whose keys and values may be shared, and what each request gets to know.

A block of the prefix cache from the first patched position on is known by what was patched, too; blocks before it are
shared with everyone. A request that leaves the model early shares with its like alone, since the blocks it left out may
have written no keys and values. What the workers read comes step by step and is handed out with the request's last
output; a request of which not every patch was written ends as an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from correction.engines.vllm.wire import Sites, digest, outline, packed
from correction.engines.vllm_plugin import KEY, text_of


@dataclass
class News:
    """What one step has done for the requests with sites.

    reads: (request, capture, token position) of each row of states. patched: how many patches a request has by now.
    """

    reads: list[tuple[str, int, int]]
    states: NDArray[np.float32]
    patched: dict[str, int]
    lenses: dict[str, float]
    errors: dict[str, str]


@dataclass
class _Open:
    """A request with sites that has not ended."""

    wanted: Sites
    patched: int = 0
    states: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict)  # (capture, position) -> state
    lens: float | None = None
    error: str | None = None

    def report(self, steps: int) -> dict[str, Any]:
        """`steps`: how many tokens were generated; a step that ran ahead of the stop is not part of it."""
        missing = len(self.wanted.patches) - self.patched
        if self.error or missing:
            return {"patched": self.patched, "error": self.error or f"{missing} patches were not written"}
        states = []
        for index, (_, _, follow) in enumerate(self.wanted.captures):
            read = [self.states[key] for key in sorted(self.states) if key[0] == index][: steps if follow else 1]
            if not read:
                return {"patched": self.patched, "error": f"capture {index} was not read"}
            states.append(packed(np.stack(read)))
        return {"patched": self.patched, "states": states, "lens": self.lens}


def _tell(waiting: dict[str, _Open], news: News) -> None:
    for (name, index, position), state in zip(news.reads, news.states, strict=True):
        if name in waiting:
            waiting[name].states[index, position] = state
    for found, attribute in ((news.patched, "patched"), (news.lenses, "lens"), (news.errors, "error")):
        for name, value in found.items():
            if name in waiting:
                setattr(waiting[name], attribute, value)


def install() -> None:
    _install_keys()
    _install_reports()


def _install_keys() -> None:
    from vllm.v1.core import block_pool, kv_cache_utils
    from vllm.v1.simple_kv_offload import manager as offload

    plain = kv_cache_utils.generate_block_hash_extra_keys

    def generate_block_hash_extra_keys(request: Any, start: int, end: int, mm: int) -> Any:
        keys, mm = plain(request, start, end, mm)
        text = text_of(request.sampling_params)
        if text is not None:
            keys = (*(keys or ()), *own_keys(text, request.num_prompt_tokens, start, end)) or None
        return keys, mm

    for module in (kv_cache_utils, block_pool, offload):  # the latter two import the function by name
        module.generate_block_hash_extra_keys = generate_block_hash_extra_keys


def own_keys(text: str, length: int, start: int, end: int) -> tuple[tuple[str, str], ...]:
    """What a block of token positions [start, end) is known by beside its tokens and the blocks before it."""
    wanted = outline(text)
    keys: list[tuple[str, str]] = []
    if wanted.exit is not None and start == 0:
        keys.append((KEY, f"exit {wanted.exit}"))
    if wanted.patches and start <= min(position % length for _, position, _ in wanted.patches) < end:
        keys.append((KEY, digest(text)))
    return tuple(keys)


def _install_reports() -> None:
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.engine import FinishReason

    add, free, update = Scheduler.add_request, Scheduler._free_request, Scheduler.update_from_output

    def add_request(self: Any, request: Any) -> None:
        text = text_of(request.sampling_params)
        if text is not None:
            vars(self).setdefault(KEY, {})[request.request_id] = _Open(outline(text))
        add(self, request)

    def free_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        found = vars(self).get(KEY, {}).pop(request.request_id, None)
        params, ec = free(self, request, *args, **kwargs)
        if found is None:
            return params, ec
        return {**(params or {}), KEY: found.report(request.num_output_tokens)}, ec

    def update_from_output(self: Any, scheduled: Any, output: Any) -> Any:
        waiting = vars(self).get(KEY)
        if not waiting:
            return update(self, scheduled, output)
        if (news := getattr(output, KEY, None)) is not None:
            _tell(waiting, news)
        outputs = update(self, scheduled, output)
        for of_client in outputs.values():
            for one in of_client.outputs:
                if one.kv_transfer_params and one.kv_transfer_params.get(KEY, {}).get("error"):
                    one.finish_reason = FinishReason.ERROR
        return outputs

    Scheduler.add_request = add_request
    Scheduler._free_request = free_request
    Scheduler.update_from_output = update_from_output
