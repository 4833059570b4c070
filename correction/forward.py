"""The custom forward: the model's own forward, with states read and overwritten on the way, for a batch of passes.

No block is written again. Hooks stand at the inputs of the blocks that a batch reads or writes; each handles all rows
of its layer in one indexed operation, so that rows with different sites, mappings and prompts share a batch. Rows are
left-padded, with an attention mask and position ids, and generate with a KV cache; a patch belongs to the prompt and is
written in the first step only. This is the plain path: later fast paths are tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from correction.architecture import Blocks
from correction.errors import EngineUnavailable, PatchNotApplied
from correction.hooks import Visit, exclusive, leaving_out, visiting
from correction.passes import Pass, Sampling
from correction.prefixes import Prefixes
from correction.sampling import choose, generator_of
from correction.scoring import Scored, score
from correction.sites import Sites
from correction.steps import read_prompts, steps_of

Top = list[tuple[int, float]]  # likeliest tokens with their probabilities, best first


@dataclass
class Row:
    """What one pass of a batch has given so far; `logprobs` of each token, `top`: the likeliest tokens of each step."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[Top] = field(default_factory=list)
    states: list[list[Tensor]] = field(default_factory=list)
    prompt: list[Scored] = field(default_factory=list)
    patched: int = 0
    stopped: bool = False
    stop_logprob: float | None = None
    lens: float | None = None


class Batch:
    """Passes that run together, a step at a time: the first step reads the prompts.

    Between two steps the model is as it was, so that several batches can take turns on it. All passes exit at the same
    layer. `prefixes` are beginnings that were run before. `stops` gives the tokens that end a row, and are not part of
    it, by its sampling; `over` says of one that wants a phrase whether it has it. running: the numbers of the passes
    that go on, which is nobody's when it is over.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        parts: Blocks,
        passes: Sequence[Pass],
        *,
        stops: Callable[[Sampling], frozenset[int]],
        pad: int,
        prefixes: Prefixes | None = None,
        over: Callable[[Sequence[int]], bool] = lambda tokens: False,
    ) -> None:
        self.model, self.parts, self.passes = model, parts, passes
        (self.exit,) = {request.exit or parts.depth for request in passes}
        self.rows = [Row(states=[[] for _ in request.captures]) for request in passes]
        self._stops = [stops(request.sampling) for request in passes]
        self._over = over
        self._generators = [generator_of(request.sampling) for request in passes]
        self._tokens, self._mask, shifts, self._cache = self._laid_out(pad, prefixes)
        self._sites = Sites(parts, passes, shifts, self.rows)
        self._steps = steps_of(model, self._tokens, self._mask, self._cache)
        self._places = list(range(len(passes)))  # the pass at each place of the tensors: some may have ended
        self._fed: Tensor | None = None  # what each place has generated last

    @torch.inference_mode()
    def _laid_out(self, pad: int, prefixes: Prefixes | None) -> tuple[Tensor, Tensor, list[int], DynamicCache | None]:
        """What is left to run of each prompt, its mask, how far its tokens are moved, and what was run before."""
        if prefixes is None:
            return *padded(self.model, [request.prompt for request in self.passes], pad), None
        with exclusive(self.model):
            begun = [prefixes.begun(request) for request in self.passes]
            kept = prefixes.cache(begun)
        lengths = [0 if one is None else one.length for one in begun]
        rest = [request.prompt[length:] for request, length in zip(self.passes, lengths, strict=True)]
        tokens, mask, shifts = padded(self.model, rest, pad)
        shifts = [shift - length for shift, length in zip(shifts, lengths, strict=True)]
        if kept is None:
            return tokens, mask, shifts, None
        cache, before = kept
        return tokens, torch.cat([before.to(mask.device), mask], dim=-1), shifts, cache

    @property
    def running(self) -> Iterable[int]:
        return self._sites.running.keys()

    def drop(self, number: int) -> None:
        """Ends a pass that nobody waits for any more."""
        self._sites.running.pop(number, None)

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Runs one step; the numbers of the passes that it has ended.

        Raises `PatchNotApplied` if any patch of the batch was not written, and `EngineUnavailable` where the model
        itself gives what is no number; no row of the batch is to be used then.
        """
        with exclusive(self.model), leaving_out(self.model, self.parts, range(self.exit, self.parts.depth)):
            return self._step()

    def _step(self) -> list[int]:
        sampled = [request.sampling for request in self.passes]
        if not any(s.max_tokens or s.top_logprobs or s.prompt_logprobs is not None for s in sampled):
            return self._read()
        self._shrink()
        first = self._fed is None
        with visiting(self.parts, self._sites.visits(first)):
            logprobs = self._steps.step(self._fed).float().log_softmax(-1)
        if first:
            self._check_patched()
            self._score(logprobs)
        return self._take(logprobs)

    def _read(self) -> list[int]:
        """The prompts alone, as far as anything is read from them or written."""
        visits = self._sites.visits(first_step=True)
        with visiting(self.parts, visits, until=max(visits, default=None)):
            read_prompts(self.model, self._tokens, self._mask, self._cache)
        self._check_patched()
        ended = [*self.running]
        self._sites.running = {}
        return ended

    def _take(self, logprobs: Tensor) -> list[int]:
        """Takes the next token of each row from its log-probabilities, (places, vocabulary)."""
        samplings = [self.passes[number].sampling for number in self._places]
        chosen = choose(logprobs, samplings, [self._generators[number] for number in self._places])
        if self._fed is None:
            self._sites.read_lenses(chosen)
        self._fed = chosen
        likely = self._likely(logprobs)
        own = logprobs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        ended = []
        for number, token, logprob, top in zip(self._places, chosen.tolist(), own.tolist(), likely, strict=True):
            if number not in self._sites.running:
                continue
            if (
                math.isnan(logprob) and not self.passes[number].patches
            ):  # a patch can be what breaks it: its own finding
                raise EngineUnavailable(
                    "the model gives what is no number", hint="check its weights, or load it with --dtype float32"
                )
            row, most = self.rows[number], self.passes[number].sampling.max_tokens
            if top:
                row.top.append(top)
            if most and token in self._stops[number]:
                row.stopped, row.stop_logprob = True, logprob
            elif most:
                row.tokens.append(token)
                row.logprobs.append(logprob)
            named = self.passes[number].sampling.phrase and self._over(row.tokens)
            if row.stopped or named or len(row.tokens) == most:
                ended.append(number)
        for number in ended:
            self.drop(number)
        return ended

    def _likely(self, logprobs: Tensor) -> list[Top]:
        """The likeliest tokens at each place, as many as its pass asked for."""
        asked = [
            self.passes[number].sampling.top_logprobs if number in self._sites.running else 0 for number in self._places
        ]
        if not any(asked):
            return [[] for _ in asked]
        top = logprobs.topk(min(max(asked), logprobs.shape[-1]))
        tokens, probabilities = top.indices.tolist(), top.values.exp().tolist()
        return [
            list(zip(tokens[place][:count], probabilities[place][:count], strict=True))
            for place, count in enumerate(asked)
        ]

    def _score(self, logprobs: Tensor) -> None:
        for number, states in self._sites.last.items():
            request = self.passes[number]
            top = request.sampling.prompt_logprobs or 0
            self.rows[number].prompt = score(self.parts, states, request.prompt, top, logprobs[number])
        self._sites.last.clear()

    def _shrink(self) -> None:
        """Leaves out the places of passes that have ended, once they are half of them."""
        if self._fed is None or len(self._sites.running) > len(self._places) // 2:
            return
        kept = [place for place, number in enumerate(self._places) if number in self._sites.running]
        self._steps.keep(places := torch.tensor(kept, device=self._fed.device))
        self._fed = self._fed[places]
        self._places = [self._places[place] for place in kept]
        self._sites.running = {number: place for place, number in enumerate(self._places)}

    def _check_patched(self) -> None:
        for request, row in zip(self.passes, self.rows, strict=True):
            if row.patched != len(request.patches):
                raise PatchNotApplied.counted(row.patched, len(request.patches))


def generate(
    model: PreTrainedModel, parts: Blocks, passes: Sequence[Pass], *, stop: frozenset[int], pad: int
) -> list[Row]:
    """Runs a batch of passes to their ends; `stop` tokens end a row. Raises as `Batch.step` does."""
    batch = Batch(model, parts, passes, stops=lambda sampling: stop, pad=pad)
    while batch.running:
        batch.step()
    return batch.rows


@torch.inference_mode()
def states(
    model: PreTrainedModel, parts: Blocks, prompts: Sequence[Sequence[int]], layers: Sequence[int], *, pad: int
) -> list[Tensor]:
    """For each prompt its hidden states, (layers, tokens, width). Blocks beyond the deepest layer never run."""
    tokens, mask, shifts = padded(model, prompts, pad)
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Visit:
        def seen(hidden: Tensor) -> Tensor:
            kept[layer] = hidden.clone()
            return hidden

        return seen

    with exclusive(model), visiting(parts, {layer: keep(layer) for layer in set(layers)}, until=max(layers)):
        read_prompts(model, tokens, mask)
    return [
        torch.stack([kept[layer][row, shift:].to(tokens.device) for layer in layers])
        for row, shift in enumerate(shifts)
    ]


def padded(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor, list[int]]:
    """Prompts as one left-padded batch: tokens and mask, (rows, columns), and the padding of each row."""
    device = model.get_input_embeddings().weight.device
    columns = max(len(prompt) for prompt in prompts)
    shifts = [columns - len(prompt) for prompt in prompts]
    tokens = torch.tensor([[pad] * n + list(p) for n, p in zip(shifts, prompts, strict=True)], device=device)
    mask = torch.tensor([[0] * n + [1] * (columns - n) for n in shifts], device=device)
    return tokens, mask, shifts
