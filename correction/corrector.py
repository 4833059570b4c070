"""The corrector: from a question to its answer, by a strategy.

Question, hops, engine, candidates, answer: data flows one way. The strategies are the methods named after them; all
share one form of prompt, one stop rule and one engine.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from correction.answers import Answer, Bridge, Fallback, HopResult, Usage
from correction.decomposition import ask_model, split_question
from correction.engines.base import Engine
from correction.errors import HopfixError, InvalidInput, UnsupportedModel
from correction.mappings import Mapping, check_fitted_for, mapping_named
from correction.models import LoadedModel
from correction.passes import Capture, Pass, PassResult, Patch, Sampling
from correction.profile import Choice, Profile, check_choice, default_choice
from correction.prompts import Prompts, without_full_stop
from correction.questions import BLANK, Hops, Question

log = logging.getLogger(__name__)
STRATEGIES = ("direct", "two_step", "step_by_step", "patched", "hard_token", "deployed")


@dataclass
class _Trace:
    """What one question has used so far; `engine` ran its last pass."""

    engine: str = ""
    usage: Usage = field(default_factory=Usage)
    timings: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def done(self) -> dict[str, float]:
        return {**self.timings, "total": 1000 * (time.perf_counter() - self.started)}


@dataclass(frozen=True)
class _Read:
    """Hop 1 read: the bridge, its tokens, and the state that predicts each of them, (tokens, width)."""

    bridge: Bridge
    tokens: tuple[int, ...]
    finished: bool
    states: Tensor | None


class Corrector:
    """Answers questions with one model, one engine, and a profile if there is one."""

    def __init__(
        self, loaded: LoadedModel, engine: Engine, profile: Profile | None = None, *, max_tokens: int = 16
    ) -> None:
        if loaded.model.config.is_encoder_decoder:
            raise UnsupportedModel(
                f"{loaded.name!r} is an encoder-decoder: its states can be inspected, its answers not corrected",
                hint="choose a causal language model",
                param="model",
            )
        if profile is not None:
            profile.check_model(loaded)
        self.loaded = loaded
        self.engine = engine
        self.profile = profile
        self.prompts = Prompts.of(loaded.tokenizer, *([profile.placeholder] if profile else []))
        self.max_tokens = max_tokens
        depth = loaded.parts.depth
        self.choice = profile.choice if profile else default_choice(depth)
        # Without calibration there is no best pair; the middle of the source, early in the target, is the usual guess.
        self.patched_choice = profile.patched if profile else Choice(max(1, depth // 2), min(1, depth - 1), "identity")
        self.min_bridge_probability = profile.min_bridge_probability if profile else 0.0
        self.max_bridge_tokens = profile.max_bridge_tokens if profile else max_tokens

    # -- one question, many questions -----------------------------------------------------------------------------

    async def answer(
        self,
        question: Question,
        strategy: str = "deployed",
        *,
        choice: Choice | None = None,
        with_direct: bool = False,
    ) -> Answer:
        """Answers one question. `choice` overrides the layers and mapping of `patched` and `deployed`.

        `with_direct` asks for the plain answer too, as `direct_answer`. Raises `InvalidInput` for what cannot be asked.
        """
        if strategy not in STRATEGIES:
            raise InvalidInput(
                f"unknown strategy {strategy!r}", hint=f"choose one of {', '.join(STRATEGIES)}", param="strategy"
            )
        if choice is not None:
            check_choice(choice, self.loaded.parts.depth)
            self.mapping(choice)
        trace = _Trace()
        if with_direct and strategy != "direct":
            answered, direct = await asyncio.gather(
                self._by_strategy(question, strategy, choice, trace),
                self._generate(question.direct_text, trace, "direct"),
            )
            answered = replace(answered, direct_answer=direct.text)
        else:
            answered = await self._by_strategy(question, strategy, choice, trace)
        return replace(
            answered,
            id=question.id,
            profile=self.profile.name if self.profile else None,
            usage=trace.usage,
            timings_ms=trace.done(),
        )

    async def answer_all(
        self,
        questions: Iterable[Question],
        strategy: str = "deployed",
        *,
        choice: Choice | None = None,
        with_direct: bool = False,
    ) -> list[Answer | HopfixError]:
        """Answers a list, batched by the engine, in its order; a failed question is its error and spoils no other."""
        results = await asyncio.gather(
            *(self.answer(q, strategy, choice=choice, with_direct=with_direct) for q in questions),
            return_exceptions=True,
        )
        answers: list[Answer | HopfixError] = []
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, HopfixError):
                raise result
            answers.append(result)
        return answers

    async def decompose(self, question: Question, trace: _Trace | None = None) -> Hops | None:
        """The hops: given, read from the grammar, or asked of the model; None if there are none to be had."""
        if question.hops is not None:
            return question.hops
        read = split_question(question.text)
        if read is not None:
            return read
        used = trace or _Trace()

        async def complete(prompt: str, max_tokens: int) -> str:
            request = Pass(self.prompts.encode_raw(prompt), sampling=Sampling(max_tokens, 0))
            return (await self._run(request, used, "decompose")).text

        try:
            return await ask_model(question.text, complete)
        except InvalidInput:  # the examples do not fit into a small context
            return None

    # -- strategies ------------------------------------------------------------------------------------------------

    async def _by_strategy(self, question: Question, strategy: str, choice: Choice | None, trace: _Trace) -> Answer:
        if strategy == "direct":
            return await self._direct(question, trace)
        if strategy == "step_by_step":
            return await self._step_by_step(question, trace)
        hops = await self.decompose(question, trace)
        if hops is None:
            reason = "no two hops can be read from the question"
            return await self._fall_back(question, None, None, reason, trace)
        if strategy == "two_step":
            return await self._two_step(hops, await self._read_bridge(hops, None, trace), trace)
        if strategy == "patched":
            return await self._patched(question, hops, choice or self.patched_choice, "patched", trace, span=False)
        if strategy == "hard_token":
            hard = Choice(self.loaded.parts.depth, 0, "hard_token")
            return await self._patched(question, hops, hard, "hard_token", trace, span=True)
        return await self._patched(question, hops, choice or self.choice, "deployed", trace, span=True)

    async def _direct(self, question: Question, trace: _Trace) -> Answer:
        result = await self._generate(question.direct_text, trace, "direct")
        return Answer(result.text, "direct", direct_answer=result.text, confidence=_probability(result.logprobs))

    async def _step_by_step(self, question: Question, trace: _Trace) -> Answer:
        """One call with "Let's think step by step"; the answer is what stands after the last "is"."""
        prompt = self.prompts.encode_step_by_step(question.text or question.direct_text)
        result = await self._run(Pass(prompt, sampling=Sampling(4 * self.max_tokens)), trace, "step_by_step")
        text = result.text.rsplit(" is ", 1)[-1].strip(" .")
        return Answer(text, "step_by_step", confidence=_probability(result.logprobs))

    async def _two_step(self, hops: Hops, read: _Read, trace: _Trace) -> Answer:
        text = hops.hop2.replace(BLANK, read.bridge.text)
        result = await self._generate(text, trace, "hop2")
        return Answer(
            result.text,
            "two_step",
            bridge=read.bridge,
            hops=(HopResult(hops.hop1, read.bridge.text), HopResult(hops.hop2, result.text)),
            confidence=read.bridge.probability * _probability(result.logprobs),
        )

    async def _patched(
        self, question: Question, hops: Hops, choice: Choice, strategy: str, trace: _Trace, *, span: bool
    ) -> Answer:
        """Hop 1's states, mapped and written over hop 2's placeholders.

        With `span` one placeholder and state for each token of the bridge, else the first alone, as in the paper: a
        single state predicts a single token. Only `deployed` falls back.
        """
        read = await self._read_bridge(hops, choice.source_layer, trace)
        assert read.states is not None
        width = max(1, len(read.tokens)) if span else 1  # no bridge at all still has the state that predicts one
        if strategy == "deployed":
            reason = self._reason_to_fall_back(read)
            if reason is not None:
                return await self._fall_back(question, hops, read, reason, trace)
        ids, sites = self.prompts.encode_blank(hops.hop2, width)
        mapping = self.mapping(choice)
        patches = tuple(
            Patch(choice.target_layer, site, state, mapping)
            for site, state in zip(sites, read.states[:width], strict=True)
        )
        result = await self._run(Pass(ids, patches=patches, sampling=Sampling(self.max_tokens)), trace, "hop2")
        return Answer(
            result.text,
            strategy,
            corrected=True,
            bridge=read.bridge,
            hops=(HopResult(hops.hop1, read.bridge.text), HopResult(hops.hop2, result.text)),
            patch=choice,
            confidence=read.bridge.probability * _probability(result.logprobs),
        )

    def _reason_to_fall_back(self, read: _Read) -> str | None:
        if not read.tokens:
            return "hop 1 gave no bridge"
        if not read.finished:
            return f"hop 1 did not end within {self.max_tokens} tokens"
        if len(read.tokens) > self.max_bridge_tokens:
            return f"the bridge has {len(read.tokens)} tokens, calibrated were at most {self.max_bridge_tokens}"
        if read.bridge.probability < self.min_bridge_probability:
            return (
                f"the bridge's probability {read.bridge.probability:.3f} is below "
                f"the profile's threshold {self.min_bridge_probability:.3f}"
            )
        return None

    async def _fall_back(
        self, question: Question, hops: Hops | None, read: _Read | None, reason: str, trace: _Trace
    ) -> Answer:
        """Text instead of a patch: two_step where the hops are known and hop 1 gave something, else direct."""
        if hops is not None and read is not None and read.tokens:
            answered = await self._two_step(hops, read, trace)
        else:
            answered = await self._direct(question, trace)
            if read is not None:
                answered = replace(answered, bridge=read.bridge)
        return replace(answered, fallback=Fallback(reason, trace.engine, answered.strategy))

    def mapping(self, choice: Choice) -> Mapping:
        """The choice's mapping. Raises `InvalidInput` for an unknown one, `InvalidMapping` for another model's."""
        mapping = mapping_named(choice.mapping)
        for note in check_fitted_for(
            mapping, self.loaded.fingerprint, self.loaded.fingerprint, choice.source_layer, choice.target_layer
        ):
            log.warning("%s", note)
        return mapping

    # -- passes ----------------------------------------------------------------------------------------------------

    async def _read_bridge(self, hops: Hops, layer: int | None, trace: _Trace) -> _Read:
        """Runs hop 1; with a layer, also captures there the states that predict the bridge's tokens."""
        captures = () if layer is None else (Capture(layer, follow=True),)
        request = Pass(self.prompts.encode(hops.hop1), captures, sampling=Sampling(self.max_tokens))
        result = await self._run(request, trace, "hop1")
        bridge = Bridge(
            result.text,
            _probability(result.logprobs),
            tuple({"text": a.text, "probability": a.probability} for a in result.alternatives),
        )
        return _Read(bridge, result.tokens, result.finish_reason == "stop", result.states[0] if captures else None)

    async def _generate(self, text: str, trace: _Trace, stage: str) -> PassResult:
        request = Pass(self.prompts.encode(text), sampling=Sampling(self.max_tokens))
        return await self._run(request, trace, stage)

    async def _run(self, request: Pass, trace: _Trace, stage: str) -> PassResult:
        started = time.perf_counter()
        result = await self.engine.run(request)
        trace.timings[stage] = 1000 * (time.perf_counter() - started)
        trace.usage.add(result)
        trace.engine = result.engine
        return replace(result, text=without_full_stop(result.text))


def _probability(logprobs: Sequence[float]) -> float:
    return math.exp(sum(logprobs))
