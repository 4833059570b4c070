"""One question being answered: its passes, and what they have cost so far.

Strategies are written with it. It knows texts, prompts and passes; which of them to run is a strategy's business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from correction.answers import Bridge, Usage
from correction.engines.base import Engine, Relaying
from correction.errors import InvalidInput
from correction.forms import Kind, phrase, phrase_is_over
from correction.mappings import TOKEN, Mapping
from correction.models import LoadedModel
from correction.passes import Alternative, Capture, Pass, PassResult, Patch, Relay, Sampling
from correction.prompts import Blank, Prompts, Text, without_full_stop

TOP = 5  # alternatives of a bridge at each of its tokens


@dataclass(frozen=True, eq=False)
class Prompt:
    """Token ids, and what is written over some of them."""

    tokens: tuple[int, ...]
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True, eq=False)
class Reading:
    """A bridge as a hop gave it.

    probability: of its tokens and of ending there. states: those that predict its tokens, (tokens, width); of an empty
    bridge the one that stopped. steps: the likeliest tokens at each step. exit: the layer it was read at, None for the
    last. early: how likely an early layer finds the first token.
    """

    text: str
    tokens: tuple[int, ...]
    probability: float
    finished: bool
    states: Tensor | None = None
    steps: tuple[tuple[Alternative, ...], ...] = ()
    logprobs: tuple[float, ...] = ()
    exit: int | None = None
    early: float | None = None

    @property
    def first(self) -> float | None:
        """The probability of the first token."""
        return math.exp(self.logprobs[0]) if self.logprobs else None

    @property
    def bridge(self) -> Bridge:
        """As an answer shows it: with the likeliest first tokens."""
        first = self.steps[0] if self.steps else ()
        return Bridge(self.text, self.probability, tuple({"text": a.text, "probability": a.probability} for a in first))


class Asking:
    """Runs one question's passes on the engine and counts them; `engine_name` ran the last one."""

    def __init__(self, loaded: LoadedModel, engine: Engine, prompts: Prompts, max_tokens: int) -> None:
        self.loaded = loaded
        self.engine = engine
        self.prompts = prompts
        self.max_tokens = max_tokens
        self.engine_name = ""
        self.usage = Usage()
        self._timings: dict[str, float] = {}
        self._started = time.perf_counter()

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds by stage, and in total so far. Passes of one stage that run side by side count once."""
        return {**self._timings, "total": 1000 * (time.perf_counter() - self._started)}

    def sampling(self, top: int = 0, room: int | None = None) -> Sampling:
        """How a bridge or an answer is generated, in at most `room` tokens, with so many alternatives."""
        most = self.max_tokens if room is None else max(0, room)
        return Sampling(most, top, phrase=self.prompts.forms.ends == "phrase")

    def prompt(self, text: Text, kind: Kind) -> Prompt:
        """A text in the form that the profile has for this kind of pass."""
        return Prompt(self.prompts.encode(text, kind))

    async def run(self, request: Pass, stage: str, *, begun: tuple[int, ...] = (), whole: bool = False) -> PassResult:
        """Runs a pass; its text ends where the profile's forms say, without the full stop that ends a sentence.

        begun: the tokens of the name that the prompt ends with and the pass goes on with. whole: what is generated is
        more than a name.
        """
        started = time.perf_counter()
        result = await self.engine.run(request)
        return self._noted(request, result, stage, started, begun, whole)

    def _noted(
        self,
        request: Pass,
        result: PassResult,
        stage: str,
        started: float,
        begun: tuple[int, ...] = (),
        whole: bool = False,
    ) -> PassResult:
        self._timings[stage] = max(self._timings.get(stage, 0.0), 1000 * (time.perf_counter() - started))
        self.usage.add(result, request.exit or self.loaded.parts.depth)
        self.engine_name = result.engine
        if self.prompts.forms.ends == "phrase" and not whole:
            result = self._phrase(result, begun)
        return replace(result, text=without_full_stop(result.text))

    def named(self, tokens: Sequence[int]) -> tuple[str, int]:
        """The name that the tokens begin with, and how many of them it takes: all where answers end with their line."""
        if self.prompts.forms.ends != "phrase":
            return self.loaded.decode(list(tokens)), len(tokens)
        text, kept = phrase(self.loaded.text(tokens)), 0
        while kept < len(tokens) and text not in self.loaded.text(tokens[:kept]):
            kept += 1
        return text, kept

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the name that the tokens begin with ends before the last of them."""
        return self.prompts.forms.ends == "phrase" and self.named(tokens)[1] < len(tokens)

    def _phrase(self, result: PassResult, begun: tuple[int, ...]) -> PassResult:
        """The result cut where its first phrase ends: then the token that comes after is what stopped it."""
        text, kept = self.named((*begun, *result.tokens))
        kept = max(0, kept - len(begun))
        if kept == len(result.tokens):
            over = phrase_is_over(self.loaded.text((*begun, *result.tokens)))
            return replace(result, text=text, finish_reason="stop" if over else result.finish_reason)
        return replace(
            result,
            text=text,
            tokens=result.tokens[:kept],
            logprobs=result.logprobs[:kept],
            stop_logprob=result.logprobs[kept],
            steps=result.steps[: kept + 1],
            finish_reason="stop",
        )

    async def generate(self, given: Prompt, stage: str, exit: int | None = None) -> PassResult:
        """Generates an answer; the blocks beyond layer `exit` are left out."""
        sampling = self.sampling()
        return await self.run(Pass(given.tokens, (), given.patches, sampling, self.early(exit)), stage)

    async def read(self, prompt: Prompt, stage: str, layer: int | None = None, exit: int | None = None) -> Reading:
        """Reads a bridge; with `layer` also the states there that predict its tokens, and an early layer's view."""
        request = self._reading(prompt, layer, exit)
        return self._read(request, await self.run(request, stage))

    async def relay(
        self, prompt: Prompt, stage: str, layer: int, exit: int | None, then: Relay, then_stage: str
    ) -> tuple[Reading, PassResult | None]:
        """Reads a bridge and, where it can be taken up at once, also generates what comes of it.

        The engine cannot tell their times apart: the second stage then has all of it. It knows nothing of names: where
        one ends before its text does, or has no space before it where the second pass has, what came of it is dropped.
        """
        assert isinstance(self.engine, Relaying)
        request = self._reading(prompt, layer, exit)
        started = time.perf_counter()
        first, second = await self.engine.relay(request, then)
        reading = self._read(request, self._noted(request, first, stage if second is None else then_stage, started))
        if second is None:
            return reading, None
        taken = then.second(first)
        answered = self._noted(taken, second, then_stage, started)
        spaced = {self.prompts.spaced(token) for token in (reading.tokens[:1] + self._placeholders(taken)[:1])}
        return reading, answered if reading.tokens == first.tokens and len(spaced) == 1 else None

    def _reading(self, given: Prompt, layer: int | None, exit: int | None) -> Pass:
        captures = () if layer is None else (Capture(layer, follow=True),)
        lens = None if layer is None else max(1, layer // 4)
        return Pass(given.tokens, captures, given.patches, self.sampling(TOP), self.early(exit), lens)

    def _read(self, request: Pass, result: PassResult) -> Reading:
        return Reading(
            result.text,
            result.tokens,
            result.probability,
            result.finish_reason == "stop",
            result.states[0] if request.captures else None,
            result.steps,
            result.logprobs,
            request.exit,
            result.lens,
        )

    def blanks(self, hop: str, most: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """The hop with 1, 2, ... placeholders, and where they are: as many as the tokenizer keeps apart.

        There are none where its form names the bridge twice: a relay fills each placeholder once.
        """
        found = []
        with suppress(InvalidInput):
            for width in range(1, most + 1):
                blank = self.prompts.encode_blank(hop, width, "hop2")
                if len(blank.mentions) > 1:
                    break
                found.append((blank.tokens, blank.sites))
        return tuple(found)

    def patched(self, blank: Blank, states: Sequence[Tensor] | Tensor, layer: int, mapping: Mapping) -> Prompt:
        """A blank with the states written over its placeholders through the mapping, the same at every mention."""
        patches = (
            Patch(layer, at, state, mapping)
            for mention in blank.mentions
            for at, state in zip(mention, states, strict=True)
        )
        return Prompt(blank.tokens, tuple(patches))

    def spelled(self, hop: str, name: str) -> Prompt:
        """The hop with the embeddings of a name's tokens written over placeholders: a one-hot vocabulary patch.

        The tokens are those that the name has in this place as text.
        """
        blank = self.prompts.encode_named(hop, name, "hop2")
        tokens = list(blank.tokens)
        patches = tuple(Patch(0, at, torch.tensor([tokens[at]]), TOKEN) for at in blank.sites)
        for at in blank.sites:
            tokens[at] = self.loaded.pad_token
        return Prompt(tuple(tokens), patches)

    @staticmethod
    def _placeholders(request: Pass) -> tuple[int, ...]:
        return tuple(request.prompt[patch.position] for patch in request.patches)

    def text(self, tokens: Sequence[int]) -> str:
        """Generated tokens as an answer shows them."""
        return without_full_stop(self.named(tokens)[0])

    @property
    def relays(self) -> bool:
        """Whether the engine can be asked for a relay: it ends with a line, so not where names end before that."""
        return isinstance(self.engine, Relaying) and self.prompts.forms.ends == "line"

    def early(self, exit: int | None) -> int | None:
        return None if exit == self.loaded.parts.depth else exit
