"""The sites of the requests in a worker, and what each step of the batch reads and writes at each layer.

A step of vLLM runs some tokens of some requests, one row each. `plan` says which rows have sites; `visit` serves them
while the model runs. It is called at each layer in whatever way the model is run (eagerly, or by an operator that the
compiler does not look into) and counts what it wrote: rows that were planned and not written fail their requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from correction.engines.vllm.wire import from_text, split
from correction.engines.vllm_plugin.parts import VLLMParts
from correction.engines.vllm_plugin.scheduler import News
from correction.engines.vllm_plugin.step import LENS, Request, Step, Write
from correction.hooks import EMBEDDING
from correction.mappings import IDENTITY, Chain, Mapping


class Sites:
    """All of a worker's. `step` is set while the model runs a step with sites, None otherwise."""

    def __init__(self, parts: VLLMParts) -> None:
        self.parts = parts
        self.requests: dict[str, Request] = {}
        self.cached: list[str] = []  # admitted with patches that the prefix cache holds: told with the next news
        self.received: dict[str, Tensor] = {}  # of this step, from the rank before
        self.step: Step | None = None

    def admit(self, new: Iterable[tuple[str, str, int, int]], finished: Iterable[str]) -> None:
        """Takes in new requests, as (name, text, tokens of the prompt, of them in the prefix cache).

        A patch inside the cached part was written by an equal request: its keys and values are known by the patch.
        """
        for name in finished:
            self.requests.pop(name, None)
        mapped: dict[Mapping, list[tuple[Write, Tensor]]] = defaultdict(list)
        for name, text, length, cached in new:
            request = self.requests[name] = Request(from_text(text), length)
            if any(patch.position % length < cached for patch in request.wanted.patches):
                self.cached.append(name)
            for index, patch in enumerate(request.wanted.patches):
                first, rest = map(_joined, split(patch.mapping))
                layer = EMBEDDING if patch.layer == 0 and patch.mapping.embeds else patch.layer
                write = Write(layer, patch.position % length, patch.state, rest)
                request.writes.append(write)
                if write.position < cached:
                    request.done.add(index)
                mapped[first].append((write, patch.state))
        for mapping, sources in mapped.items():
            self._map(mapping, sources)

    @torch.inference_mode()
    def _map(self, mapping: Mapping, sources: list[tuple[Write, Tensor]]) -> None:
        states = torch.stack([state for _, state in sources])
        states = states.to(self.parts.device, self.parts.dtype if states.is_floating_point() else None)
        given: Any = self.parts  # what a mapping reads of a model, this has
        for (write, _), value in zip(sources, mapping(states, states, given, given), strict=True):
            write.value = value / self.parts.scale if write.layer == EMBEDDING else value

    def plan(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """What the next step does: for each request of the batch its name, the tokens computed, those to compute."""
        self.step = None
        if not self.requests:
            return
        step, begin = Step(), 0
        for name, computed, count in rows:
            request = self.requests.get(name)
            if request is not None:
                self._plan(step, name, request, begin, computed, count)
            step.spans.append((begin, count, request.wanted.exit if request else None))
            begin += count
        step.total = begin
        if step.exits and all(exit is not None for _, _, exit in step.spans):
            step.skip = max(step.exits)
        if step.writes or step.reads or step.exits:
            self.step = step
            self._take_over()

    def _plan(self, step: Step, name: str, request: Request, begin: int, computed: int, count: int) -> None:
        wanted, end = request.wanted, computed + count
        if wanted.exit is not None:
            step.exits[wanted.exit].append(begin + count - 1)
            step.leaving.append(name)
        if computed > request.last and not request.follows:
            return
        for index, write in enumerate(request.writes):
            if computed <= write.position < end:
                step.writes[write.layer][write.rest].append((begin + write.position - computed, write.value))
                step.writers.append((name, index))
        for index, capture in enumerate(wanted.captures):
            first = capture.position % request.length
            for position in range(max(first, computed), end if capture.follow else min(first + 1, end)):
                step.reads[capture.layer].append((begin + position - computed, name, index, position))
        if wanted.lens is not None and computed < request.length <= end:
            step.reads[wanted.lens].append((begin + request.length - 1 - computed, name, LENS, 0))

    def visit(self, layer: int, hidden: Tensor, residual: Tensor | None) -> None:
        """Serves the sites of a layer, in place. The hidden states are the sum of both tensors, (tokens, width)."""
        step = self.step
        if step is None:
            return
        hidden = hidden.view(-1, hidden.shape[-1])
        if len(hidden) < step.expected:
            return  # not this step's rows: what is not served fails its requests
        residual = None if residual is None else residual.view(-1, residual.shape[-1])
        if layer in step.writes:
            for rest, sites in step.writes[layer].items():
                rows = self._rows([row for row, _ in sites])
                values = torch.stack([value for _, value in sites])
                if rest is not IDENTITY:
                    given: Any = self.parts
                    values = rest(values, _at(rows, hidden, residual), given, given)
                _put(rows, values, hidden, residual)
                step.written += len(sites)
        if layer in step.reads:
            step.states.append(_at(self._rows([site[0] for site in step.reads[layer]]), hidden, residual))
        if layer in step.exits:
            step.left.append(_at(self._rows(step.exits[layer]), hidden, residual))
        if layer == self.parts.depth and step.exits:
            order = [row for exit in sorted(step.exits) for row in step.exits[exit]]
            _put(self._rows(order), torch.cat(step.left), hidden, residual)
            step.written += len(order)

    def _rows(self, rows: list[int]) -> Tensor:
        found = torch.tensor(rows, device=self.parts.device)
        return found if self.step is None else self.step.among(found)

    # -- between the ranks of a pipeline ------------------------------------------------------------------------------

    def carried(self) -> dict[str, Tensor]:
        """What this step has read, left and written so far, for the next rank; ends the step on this one."""
        step, self.step, self.cached = self.step, None, []  # the last rank tells
        if step is None:
            return {}
        tensors = {"hopfix.written": torch.tensor([step.written], device=self.parts.device)}
        if step.states:
            tensors["hopfix.states"] = torch.cat(step.states)
        if step.left:
            tensors["hopfix.left"] = torch.cat(step.left)
        return tensors

    def _take_over(self) -> None:
        step, received = self.step, self.received
        assert step is not None
        if received:
            step.written += int(received["hopfix.written"])
        if "hopfix.states" in received:
            step.states.append(received["hopfix.states"])
        if "hopfix.left" in received:
            step.left.append(received["hopfix.left"])

    # -- after the model has run --------------------------------------------------------------------------------------

    @torch.inference_mode()
    def read_lenses(self, order: dict[str, int], sampled: Tensor) -> None:
        """Keeps how likely the lenses find the tokens sampled, (requests, 1), whose rows `order` gives."""
        step = self.step
        if step is None or not step.states:
            return
        lenses = [(number, name) for number, (_, name, index, _) in enumerate(step.sites) if index == LENS]
        if not lenses or sum(map(len, step.states)) != len(step.sites):
            return
        states = torch.cat(step.states)[self._rows([number for number, _ in lenses])]
        logprobs = self.parts.own_logits(states).float().log_softmax(-1)
        tokens = sampled[self._rows([order[name] for _, name in lenses]), 0].long().unsqueeze(-1)
        step.lens_names = [name for _, name in lenses]
        step.lenses = logprobs.gather(-1, tokens).exp().squeeze(-1)

    def news(self) -> News | None:
        """What this step has done, None if nothing; ends the step."""
        if self.step is None and not self.cached:
            return None
        step, self.step = self.step, None
        changed, self.cached = [name for name in self.cached if name in self.requests], []
        news = News([], np.empty((0, 0), np.float32), {}, {}, {})
        if step is not None:
            changed += [name for name, _ in step.writers]
            self._tell(step, news)
        news.patched.update((name, len(self.requests[name].done)) for name in changed)
        return news if news.reads or news.patched or news.lenses or news.errors else None

    def _tell(self, step: Step, news: News) -> None:
        planned = len(step.writers) + len(step.leaving)
        if step.written != planned:
            reason = f"{step.written} of {planned} planned writes took place in a step of the batch"
            news.errors.update((name, reason) for name in (*(name for name, _ in step.writers), *step.leaving))
        else:
            for name, index in step.writers:
                self.requests[name].done.add(index)
        sites = step.sites
        kept = [number for number, (_, _, index, _) in enumerate(sites) if index != LENS]
        if sum(map(len, step.states)) != len(sites):
            news.errors.update((name, "a step of the batch did not reach its sites") for _, name, _, _ in sites)
        elif kept:
            states = torch.cat(step.states)
            states = states if len(kept) == len(sites) else states[self._rows(kept)]
            news.reads += [sites[number][1:] for number in kept]
            news.states = states.float().cpu().numpy()
        news.lenses.update(zip(step.lens_names, step.lenses.tolist(), strict=True))


def _joined(parts: tuple[Mapping, ...]) -> Mapping:
    return Chain(parts) if len(parts) > 1 else parts[0] if parts else IDENTITY


def _at(rows: Tensor, hidden: Tensor, residual: Tensor | None) -> Tensor:
    states = hidden.index_select(0, rows)
    return states if residual is None else states + residual.index_select(0, rows)


def _put(rows: Tensor, values: Tensor, hidden: Tensor, residual: Tensor | None) -> None:
    hidden.index_copy_(0, rows, values.to(hidden.dtype))
    if residual is not None:
        residual.index_fill_(0, rows, 0)
