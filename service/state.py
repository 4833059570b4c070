"""What the routes share: settings, metrics, admission, and the corrector once it is there.

The way of a question: `reserve` gives it a place, `Places.run` its turn, `answer` its answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import Request

from correction.errors import HopfixError
from service.admission import Admission, deadline_of
from service.answering import choose
from service.duplicates import Once
from service.errors import Draining, NotReady, ProfileRefused, rule_for
from service.keys import Keys
from service.metrics import Metrics
from service.places import Places
from service.rates import Rates
from service.readiness import renewed
from service.schemas import AnswerObject, AnswerRequest
from service.settings import Settings
from service.shadow import Shadow
from service.tracing import Tracing

if TYPE_CHECKING:
    from correction.answers import Answer
    from correction.corrector import Corrector
    from correction.engines.base import Engine
    from correction.profile import Choice
    from correction.questions import Question

log = logging.getLogger(__name__)


class State:
    """One service. `waiting_for` says why it is not ready; it is None once it is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings)
        self.rates = Rates(self.keys.rate)
        self.metrics = Metrics()
        self.tracing = None if settings.otlp_endpoint is None else Tracing(settings.otlp_endpoint)
        self.admission = Admission(settings.max_in_flight, settings.max_queued, settings.deadline_seconds)
        self.admission.on_wait = self.metrics.waited.observe
        self.admission.on_refused = lambda reason: self.metrics.refused.labels(reason).inc()
        self.metrics.follow(self.metrics.in_flight, lambda: self.admission.taken)
        self.metrics.follow(self.metrics.running, lambda: self.admission.running)
        self.metrics.follow(self.metrics.waiting, lambda: self.admission.waiting)
        self.metrics.follow(self.metrics.ready, lambda: self.ready)
        self.metrics.watch(lambda: self.engine, settings)
        self.waiting_for: str | None = "the model is being loaded"
        self.draining = False
        self.loaded = ""
        self.on_reload: Callable[[], None] = lambda: None  # of other processes of this service
        self._corrector: Corrector | None = None
        self._answers: Once[Answer] = Once(settings.cache_answers)
        self._reloading = asyncio.Lock()
        self._shadow = Shadow(
            self._corrected,
            lambda outcome: self.metrics.shadow.labels(outcome).inc(),
            deadline=settings.deadline_seconds,
            texts=settings.log_questions,
        )

    def open(self, corrector: Corrector) -> None:
        """From now on questions are answered by this one; those in flight stay with the one before."""
        self._corrector = corrector
        self._answers = Once(self.settings.cache_answers)
        self.loaded = datetime.now(UTC).isoformat(timespec="seconds")
        self.waiting_for = None

    def drain(self) -> None:
        """From now on nothing new is taken; what has a place goes on."""
        self.draining = True

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self._shadow.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    def corrector(self) -> Corrector:
        """The corrector; raises `NotReady`."""
        if self._corrector is None:
            raise NotReady(f"not ready: {self.waiting_for}", hint="ask again when GET /ready answers 200")
        return self._corrector

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is there."""
        return None if self._corrector is None else self._corrector.engine

    @property
    def ready(self) -> bool:
        """Whether questions are answered now."""
        return self.engine is not None and not self.engine.down and not self.draining

    def check_open(self) -> None:
        """Raises `Draining` once the service has been told to stop."""
        if self.draining:
            raise Draining(
                "the service is being stopped", hint="send the request again, to another one if there is one"
            )

    def reserve(self, request: Request, most: int = 1) -> Places:
        """Places for what a request asks, `most` at most, with the deadline that its header asks for. Counts `most`
        questions towards the client's rate.

        Raises `Draining`, `Overloaded`, and `InvalidInput` for a deadline that is none.
        """
        self.check_open()
        places = self.admission.reserve(request.state.client, most, deadline_of(request))
        self.rates.charge(request.state.client, most - 1)  # one was counted when the request came
        return places

    async def answer(self, request: AnswerRequest, request_id: str) -> AnswerObject:
        """Answers; the caller has a turn. In shadow mode `deployed` is served as `direct`."""
        asked = Asked.of(self.corrector(), request)
        shadowed = self.settings.shadow and request.strategy == "deployed"
        try:
            answer = await self._answer(Asked(asked.question, "direct") if shadowed else asked)
        except HopfixError as error:
            self.metrics.failures.labels(rule_for(error).code).inc()
            raise
        self.metrics.count(answer)
        if self.tracing is not None:
            self.tracing.add_stages(answer.timings_ms)
        if self.settings.log_questions:
            names = ("strategy", "corrected", "confidence", "answer")
            said = {name: getattr(answer, name) for name in names}
            log.info("answered", extra={"question": asked.question.direct_text, **said})
        if shadowed:
            self.shadow(request, answer.answer, request_id)
        return AnswerObject.of(replace(answer, id=request.id))

    def shadow(self, request: AnswerRequest, served: str, request_id: str) -> None:
        """Works out afterwards what `deployed` would have answered to what was served uncorrected, and logs it."""
        self._shadow.take(request, served, request_id)

    async def reload(self) -> None:
        """Puts the profile as it is now, in its folder or on the hub, in place of the one in use, once it is proven.

        Reads the keys again first. Raises `InvalidInput` for their file and `ProfileRefused`: what was in use goes on.
        So do questions in flight in either case.
        """
        self.keys.read()
        if self._reloading.locked():
            raise ProfileRefused("the profile is being reloaded already", hint="wait for that to end")
        async with self._reloading:
            try:
                self.open(await renewed(self.corrector(), self.settings))
            except ProfileRefused as error:
                self.metrics.reloads.labels("refused").inc()
                log.error("the profile stays as it is: %s", error)
                raise
            self.metrics.reloads.labels("done").inc()
            log.info("the profile was reloaded")

    async def _corrected(self, request: AnswerRequest) -> Answer:
        return await self._answer(Asked.of(self.corrector(), request))

    async def _answer(self, asked: Asked) -> Answer:
        """The corrector's answer, or that of the same question asked before: then nothing was computed for it."""
        corrector = self.corrector()
        came = time.perf_counter()
        answer, how = await self._answers.get(
            asked,
            lambda: corrector.answer(
                asked.question, asked.strategy, choice=asked.choice, with_direct=asked.with_direct
            ),
        )
        if how == "computed":
            return answer
        self.metrics.reused.labels(how).inc()
        return replace(
            answer,
            usage=replace(answer.usage, passes=0, layer_tokens=0),
            timings_ms={how: 1000 * (time.perf_counter() - came)},
        )


@dataclass(frozen=True)
class Asked:
    """What a corrector is asked; equal ones have equal answers."""

    question: Question
    strategy: str
    choice: Choice | None = None
    with_direct: bool = False

    @classmethod
    def of(cls, corrector: Corrector, request: AnswerRequest) -> Asked:
        """Raises `InvalidInput` for what cannot be asked."""
        choice = choose(corrector, request.strategy, request.source_layer, request.target_layer, request.mapping)
        return cls(replace(request.to_question(), id=None), request.strategy, choice, request.with_direct)


async def state_of(request: Request) -> State:
    """The state of the service that a request came to. Asynchronous, since others would be called in a thread."""
    state: State = request.app.state.hopfix
    return state


Shared = Annotated[State, Depends(state_of)]
