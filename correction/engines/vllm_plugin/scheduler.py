"""The engine core's part: what each request gets to know, and the second passes of relays.

What the workers read comes step by step and is handed out with the request's last output; a request of which not every
patch was written ends as an error. The second pass of a relay is made here, so that the states of the first need no
trip to the client; its outputs go on under the id of the first.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from correction.engines.vllm.wire import Sites, outline, packed, relayed
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
    """A request with sites that has not ended. `first`: of a second pass, what the first one's report was."""

    wanted: Sites
    patched: int = 0
    states: dict[int, dict[int, NDArray[np.float32]]] = field(default_factory=dict)  # capture -> position -> state
    lens: float | None = None
    error: str | None = None
    logprob: float = 0.0  # of what was generated so far
    first: dict[str, Any] | None = None

    def read(self, index: int, steps: int) -> list[NDArray[np.float32]]:
        """The states of a capture. A step that ran ahead of the stop is not part of it."""
        follow = self.wanted.captures[index][2]
        return [state for _, state in sorted(self.states.get(index, {}).items())][: steps if follow else 1]

    def report(self, steps: int) -> dict[str, Any]:
        """`steps`: how many tokens were generated."""
        missing = len(self.wanted.patches) - self.patched
        if self.error or missing:
            return {"patched": self.patched, "error": self.error or f"{missing} patches were not written"}
        states = [self.read(index, steps) for index in range(len(self.wanted.captures))]
        if not all(states):
            return {"patched": self.patched, "error": "a capture was not read"}
        report = {"patched": self.patched, "states": [packed(np.stack(read)) for read in states], "lens": self.lens}
        return report if self.first is None else {**report, "first": self.first}


def _tell(waiting: dict[str, _Open], news: News) -> None:
    for (name, index, position), state in zip(news.reads, news.states, strict=True):
        if name in waiting:
            waiting[name].states.setdefault(index, {})[position] = state.copy()  # and not a view of a whole step's
    for found, attribute in ((news.patched, "patched"), (news.lenses, "lens"), (news.errors, "error")):
        for name, value in found.items():
            # A lens saw the first token; after a preemption the same position is read again beside a later one.
            if name in waiting and not (attribute == "lens" and waiting[name].lens is not None):
                setattr(waiting[name], attribute, value)


class _Core:
    """What one scheduler has beside vLLM's own: open requests by id, and the ids of relays and their second passes."""

    def __init__(self) -> None:
        self.open: dict[str, _Open] = {}
        self.second: dict[str, str] = {}
        self.first: dict[str, str] = {}

    def end(self, name: str) -> _Open | None:
        if (first := self.first.pop(name, None)) is not None:
            self.second.pop(first, None)
        return self.open.pop(name, None)

    def take_up(self, found: _Open, request: Any) -> Any:
        """The request for the second pass of a relay whose first has ended, None if there is none."""
        then, length = found.wanted.then, request.num_output_tokens - 1
        if then is None or not 0 < length <= len(then.blanks) or math.exp(found.logprob) < then.least:
            return None
        states, first = found.read(0, length), found.report(length + 1)
        if "error" in first or len(states) != length:
            return None
        prompt, text = relayed(then, np.stack(states))
        name = f"{request.request_id}+"
        self.second[request.request_id], self.first[name] = name, request.request_id
        params = copy(request.sampling_params)
        params.extra_args, params.max_tokens = {KEY: text}, then.max_tokens
        made = type(request)(
            name,
            prompt,
            params,
            None,
            client_index=request.client_index,
            arrival_time=request.arrival_time,
            priority=request.priority,
            trace_headers=request.trace_headers,
            cache_salt=request.cache_salt,
            lora_request=request.lora_request,
            block_hasher=request._block_hasher,
        )
        self.open[name] = _Open(
            outline(text), first={"tokens": length + 1, **{n: first[n] for n in ("states", "lens")}}
        )
        return made


def install() -> None:
    """Puts hopfix's steps around those of vLLM's scheduler; without requests with sites they do nothing."""
    from vllm.v1.core.sched.scheduler import Scheduler

    add, free = Scheduler.add_request, Scheduler._free_request
    update, finish = Scheduler.update_from_output, Scheduler.finish_requests

    def add_request(self: Any, request: Any) -> None:
        text = text_of(request.sampling_params)
        if text is not None:
            core: _Core = vars(self).setdefault(KEY, _Core())
            core.open.setdefault(request.request_id, _Open(outline(text)))
        add(self, request)

    def free_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        core: _Core | None = vars(self).get(KEY)
        found = core.end(request.request_id) if core else None
        params, ec = free(self, request, *args, **kwargs)
        if found is None:
            return params, ec
        return {**(params or {}), KEY: found.report(request.num_output_tokens)}, ec

    def finish_requests(self: Any, names: Any, status: Any) -> Any:
        core: _Core | None = vars(self).get(KEY)
        if core is not None and core.second and names is not None:
            names = [core.second.get(name, name) for name in ([names] if isinstance(names, str) else names)]
        return finish(self, names, status)

    def update_from_output(self: Any, scheduled: Any, output: Any) -> Any:
        core: _Core | None = vars(self).get(KEY)
        if core is None or not core.open:
            return update(self, scheduled, output)
        if (news := getattr(output, KEY, None)) is not None:
            _tell(core.open, news)
        # An ended request is gone afterwards.
        known = {name: (self.requests.get(name), found, core.first.get(name)) for name, found in core.open.items()}
        outputs = update(self, scheduled, output)
        for of_client in outputs.values():
            for one in of_client.outputs:
                if one.request_id in known:
                    _follow_up(self, core, one, *known[one.request_id])
        return outputs

    Scheduler.add_request = add_request
    Scheduler._free_request = free_request
    Scheduler.finish_requests = finish_requests
    Scheduler.update_from_output = update_from_output


def _follow_up(scheduler: Any, core: _Core, one: Any, request: Any, found: _Open, first: str | None) -> None:
    """What becomes of an output: a relay's first pass goes on in the second, and both are one request to its client."""
    from vllm.v1.engine import FinishReason

    if found.wanted.then is not None and one.new_logprobs is not None:
        found.logprob += float(one.new_logprobs.logprobs[:, 0].sum())
    if one.finish_reason == FinishReason.STOP and (made := core.take_up(found, request)) is not None:
        one.finish_reason = one.stop_reason = one.kv_transfer_params = None
        scheduler.add_request(made)
    elif one.finish_reason is not None and (one.kv_transfer_params or {}).get(KEY, {}).get("error"):
        one.finish_reason = FinishReason.ERROR
    one.request_id = first or one.request_id
