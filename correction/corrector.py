"""The corrector: from a question to its answer, by a strategy.

Question, hops, engine, candidates, answer: data flows one way. The strategies are in `correction.strategies`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from correction.answers import Answer, Fallback
from correction.asking import Asking
from correction.decomposition import ask_model, split_question
from correction.engines.base import Engine, Sharing
from correction.errors import HopfixError, InvalidInput, UnsupportedModel
from correction.forms import KINDS
from correction.mappings import Mapping, check_fitted_for
from correction.models import LoadedModel
from correction.passes import Pass, Sampling
from correction.profile import Choice, Profile, Thresholds, check_choice
from correction.prompts import Prompts
from correction.questions import Hops, Question
from correction.strategies import BY_HOPS, STRATEGIES, WHOLE
from correction.strategies.back_patched import back_patched
from correction.strategies.text import direct

log = logging.getLogger(__name__)


class Corrector:
    """Answers questions with one model, one engine, and a profile if there is one. `open_corrector` makes one by names.

    uncalibrated: what is used without a profile, if not text as it stands. max_tokens: the most tokens of a bridge, and
    of an answer. Raises `UnsupportedModel` for an encoder-decoder, and
    `InvalidProfile` for a profile that was made for other weights.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        engine: Engine,
        profile: Profile | None = None,
        *,
        uncalibrated: Profile | None = None,
        max_tokens: int = 16,
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
        self.used = profile or uncalibrated or Profile.uncalibrated(loaded, max_tokens)
        self.prompts = Prompts(loaded.tokenizer, self.used.forms, self.used.placeholder)
        self.max_tokens = max_tokens
        if isinstance(engine, Sharing):
            engine.share([self.prompts.shared(kind) for kind in KINDS])

    def using(self, profile: Profile) -> Corrector:
        """The same model and engine with another profile."""
        return Corrector(self.loaded, self.engine, profile, max_tokens=self.max_tokens)

    async def answer(
        self,
        question: Question,
        strategy: str = "deployed",
        *,
        choice: Choice | None = None,
        with_direct: bool = False,
    ) -> Answer:
        """Answers one question by a strategy: `deployed`, or one of those that it is compared with.

        These are `direct`, `two_step`, `step_by_step`, `patched`, `hard_token`, `mid_layer` and `back_patched`. A
        question from which no hops can be read is answered by `direct`, with the reason in `fallback`. `choice`
        overrides the layers and mapping of `patched` and `deployed`. `with_direct` asks for the plain answer too, as
        `direct_answer`.

        Raises `InvalidInput` for what cannot be asked (an unknown strategy, layers or mapping; `PromptTooLong` beyond
        the context), `EngineUnavailable` if the engine is down, `PatchNotApplied` if a patch did not take place.
        """
        if strategy not in STRATEGIES:
            raise InvalidInput(
                f"unknown strategy {strategy!r}", hint=f"choose one of {', '.join(STRATEGIES)}", param="strategy"
            )
        profile = self.used if choice is None else self._with(choice)
        asking = Asking(self.loaded, self.engine, self.prompts, self.max_tokens)
        answered = self._by_strategy(question, strategy, profile, asking)
        if with_direct and strategy != "direct":
            plain = direct(asking, profile, question)
            given, beside = await asyncio.gather(answered, plain)
            given = replace(given, direct_answer=beside.answer)
        else:
            given = await answered
        return replace(
            given,
            id=question.id,
            profile=self.profile.name if self.profile else None,
            usage=asking.usage,
            timings_ms=asking.timings,
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

    async def decompose(self, question: Question, asking: Asking | None = None) -> Hops | None:
        """The hops: given, read from the grammar, or asked of the model; None if there are none to be had.

        A pass that asks the model is counted in `asking`, where one is given.
        """
        if question.hops is not None:
            return question.hops
        read = split_question(question.text)
        if read is not None:
            return read
        used = asking or Asking(self.loaded, self.engine, self.prompts, self.max_tokens)

        async def complete(prompt: str, max_tokens: int) -> str:
            request = Pass(self.prompts.encode_raw(prompt), sampling=Sampling(max_tokens, 0))
            return (await used.run(request, "decompose", whole=True)).text

        try:
            return await ask_model(question.text, complete)
        except InvalidInput:  # the examples do not fit into a small context
            return None

    def mapping(self, choice: Choice) -> Mapping:
        """The choice's mapping. Raises `InvalidInput` for an unknown one, `InvalidMapping` for another model's."""
        mapping = self.used.mapping(choice)
        for note in check_fitted_for(
            mapping, self.loaded.fingerprint, self.loaded.fingerprint, choice.source_layer, choice.target_layer
        ):
            log.warning("%s", note)
        return mapping

    def _with(self, choice: Choice) -> Profile:
        """The profile with exactly this patch: no threshold was calibrated for it, so none turns away from it."""
        check_choice(choice, self.loaded.parts.depth)
        self.mapping(choice)
        thresholds = Thresholds(bridge_tokens=self.max_tokens)
        return replace(
            self.used, choice=choice, patched=choice, strategy="deployed", answer_layer=None, thresholds=thresholds
        )

    async def _by_strategy(self, question: Question, strategy: str, profile: Profile, asking: Asking) -> Answer:
        if strategy in WHOLE:
            return await WHOLE[strategy](asking, profile, question)
        hops = await self.decompose(question, asking)
        if hops is not None:
            return await BY_HOPS[strategy](asking, profile, question, hops)
        if strategy == "deployed" and profile.back_patching:
            return await back_patched(asking, profile, question)
        answered = await direct(asking, profile, question)
        reason = "no two hops can be read from the question"
        return replace(answered, fallback=Fallback(reason, asking.engine_name, "direct"))
