"""Passes on vLLM, whose results follow the conventions of the custom forward: either engine can stand in for the other.

It turns a pass into a request and what comes back into a result. Where vLLM runs is its backend's business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from correction.engines.base import grid_of_passes
from correction.engines.vllm.backend import Asked, Backend, Generated, Token
from correction.engines.vllm.wire import Packed, Report, report_of, sendable, to_text, unpacked
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.grid import Grid, GridPass
from correction.models import LoadedModel
from correction.passes import Alternative, Capture, Heard, Pass, PassResult, Relay, Sampling, Step, check_pass


class VLLMEngine:
    """Passes on the vLLM that `backend` is, with the tokenizer and the stop rule of `loaded`.

    `patches` says that hopfix's plugin is active there. `context` shrinks at the start to what vLLM has room for.
    """

    name = "vllm"

    def __init__(self, loaded: LoadedModel, backend: Backend, *, patches: bool = False) -> None:
        self.loaded = loaded
        self.can_patch = patches
        self.context = loaded.context
        self.standins: Counter[str] = Counter()  # nobody stands in here
        self._backend = backend
        self._started = False
        self._closed = False
        self._decode = lru_cache(maxsize=1 << 16)(lambda token: loaded.decode([token]))

    @property
    def trouble(self) -> str | None:
        return self._backend.trouble

    @property
    def down(self) -> bool:
        return self.trouble is not None

    @property
    def restarts(self) -> int:
        return self._backend.restarts

    async def start(self) -> None:
        """Raises `EngineUnavailable` if vLLM cannot be had, and as `run` does if it lacks the plugin it should have."""
        self.context = min(self.context, await self._backend.start())
        self._started = True
        if self.can_patch:
            await self.run(Pass((self.loaded.pad_token,), (Capture(1),), sampling=Sampling(0, 0)))

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        given, report = await self._ask(request, None, heard)
        return self._result(request, given, report.patched, report.states, report.lens)

    async def relay(self, first: Pass, then: Relay) -> tuple[PassResult, PassResult | None]:
        """One request, and one trip: the second pass starts in the step after the first has ended.

        A mapping that is fitted stays here with its weights, and there the second pass is sampled as the first one is;
        otherwise only the first pass is run.
        """
        if not (then.blanks and sendable(then.mapping) and _alike(first.sampling, then.sampling)):
            return await self.run(first), None
        given, report = await self._ask(first, then)
        if (own := report.first) is None:
            return self._result(first, given, report.patched, report.states, report.lens), None
        read = self._result(first, given.part(0, own.tokens), len(first.patches), own.states, own.lens)
        second = then.second(read)
        if report.patched != len(second.patches):
            raise PatchNotApplied.counted(report.patched, len(second.patches))
        rest = given.part(own.tokens, len(given.tokens))
        return read, self._result(second, rest, report.patched, report.states, report.lens)

    async def _ask(self, request: Pass, then: Relay | None, heard: Heard | None = None) -> tuple[Generated, Report]:
        sampling = _sent(request.sampling, then)
        sent = request if sampling is request.sampling else replace(request, sampling=sampling)
        check_pass(sent, self.loaded.shape, self.context)
        if not (self.can_patch or request.plain):
            raise PatchNotApplied(
                "this vLLM neither reads nor overwrites hidden states", hint="use the engine hf, hf+vllm or vllm"
            )
        if any(patch.origin not in (None, self.loaded.parts) for patch in request.patches):
            raise InvalidInput("the engine 'vllm' knows one model alone", hint="use the engine hf", param="engine")
        if not self._started or self._closed:
            raise EngineUnavailable(f"the engine 'vllm' is {'closed' if self._closed else 'not started'}")
        stop = self.loaded.stops(sampling)
        asked = Asked(request.prompt, sampling, stop, to_text(request, then))

        def told(token: Token) -> None:
            if heard and request.sampling.max_tokens and token.id not in stop:
                heard(self._step(token, sampling.top_logprobs))

        given = await self._backend.generate(asked, told if heard else None)
        if sampling.prompt_logprobs is not None and len(given.prompt) != len(request.prompt) - 1:
            raise EngineUnavailable(
                "vLLM did not give the log-probabilities of the prompt", hint="start the server with --max-logprobs -1"
            )
        report = report_of(given.report)
        if report is None:
            if not request.plain:
                raise PatchNotApplied(
                    "vLLM did not say that it patched",
                    hint="install hopfix in its environment, and start it with --additional-config '{\"hopfix\": {}}'; "
                    "if VLLM_PLUGINS is set, name hopfix and hopfix-orphans in it",
                )
            report = Report()
        if report.first is None and report.patched != len(request.patches):
            raise PatchNotApplied.counted(report.patched, len(request.patches))
        if len((report.first or report).states) != len(request.captures):
            raise PatchNotApplied(
                f"vLLM did not give the states of {len(request.captures)} captures",
                hint="look whether its version and hopfix's are the same there as here ('hopfix doctor')",
            )
        return given, report

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        """A patched pass a cell."""
        grid = await grid_of_passes(self, request)
        on_done(len(request.prompts))
        return grid

    async def close(self) -> None:
        self._closed = True
        await self._backend.close()

    def _result(
        self, request: Pass, given: Generated, patched: int, states: Sequence[Packed], lens: float | None
    ) -> PassResult:
        sampling = request.sampling
        stopped = given.stopped and sampling.max_tokens > 0
        said = given.tokens[: -1 if stopped else sampling.max_tokens]
        tokens = tuple(token.id for token in said)
        return PassResult(
            tokens=tokens,
            text=self.loaded.decode(tokens),
            logprobs=tuple(token.logprob for token in said),
            stop_logprob=given.tokens[-1].logprob if stopped else None,
            steps=tuple(self._top(token, sampling.top_logprobs) for token in given.tokens),
            states=tuple(unpacked(read) for read in states),
            patched=patched,
            prompt_tokens=len(request.prompt),
            finish_reason="stop" if stopped else "length",
            engine=self.name,
            lens=lens if sampling.max_tokens or sampling.top_logprobs else None,
            prompt=tuple(self._step(token, sampling.prompt_logprobs or 0) for token in given.prompt),
        )

    def _step(self, token: Token, most: int) -> Step:
        return Step(token.id, token.logprob, self._top(token, most))

    def _top(self, token: Token, most: int) -> tuple[Alternative, ...]:
        return tuple(Alternative(t, self._decode(t), math.exp(logprob)) for t, logprob in token.top[:most])


def _sent(sampling: Sampling, then: Relay | None) -> Sampling:
    """What vLLM is asked for, so that there is what a pass and what takes it up ask for."""
    if sampling.max_tokens == 0:  # vLLM knows no pass without a token
        sampling = replace(sampling, max_tokens=1)
    if sampling.seed == -1:  # to vLLM this is no seed
        sampling = replace(sampling, seed=2**63 - 1)
    if then is not None and then.sampling.top_logprobs > sampling.top_logprobs:
        sampling = replace(sampling, top_logprobs=then.sampling.top_logprobs)
    return sampling


def _alike(first: Sampling, second: Sampling) -> bool:
    """Whether what the plugin sends again is what the second pass asks for."""
    return replace(second, max_tokens=first.max_tokens, top_logprobs=first.top_logprobs) == first
