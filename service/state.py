"""What the routes share: settings, metrics, admission, and the corrector once it is there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from correction.errors import HopfixError
from service.admission import Admission
from service.answering import choose
from service.errors import NotReady, error_body, rule_for, unexpected
from service.keys import Keys
from service.metrics import Metrics
from service.rates import Rates
from service.schemas import AnswerObject, AnswerRequest
from service.settings import Settings

if TYPE_CHECKING:
    from correction.corrector import Corrector
    from correction.engines.base import Engine

log = logging.getLogger(__name__)


class State:
    """One service. `waiting_for` says why it is not ready; it is None once it is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings)
        self.rates = Rates(self.keys.rate)
        self.metrics = Metrics()
        self.admission = Admission(settings.max_in_flight, settings.deadline_seconds)
        self.metrics.in_flight.set_function(lambda: self.admission.in_flight)
        self.metrics.ready.set_function(lambda: self.ready)
        self.metrics.watch(lambda: self.engine)
        self.waiting_for: str | None = "the model is being loaded"
        self._corrector: Corrector | None = None

    def open(self, corrector: Corrector) -> None:
        """From now on questions are answered."""
        self._corrector = corrector
        self.waiting_for = None

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
        return self.engine is not None and not self.engine.down

    async def answer(self, request: AnswerRequest) -> AnswerObject:
        """Answers within the deadline; the caller holds the place in flight."""
        corrector = self.corrector()
        question = request.to_question()
        choice = choose(corrector, request.strategy, request.source_layer, request.target_layer, request.mapping)
        try:
            answer = await self.admission.in_time(
                corrector.answer(question, request.strategy, choice=choice, with_direct=request.with_direct)
            )
        except HopfixError as error:
            self.metrics.failures.labels(rule_for(error).code).inc()
            raise
        self.metrics.count(answer)
        return AnswerObject.of(answer)

    async def attempt(self, request: AnswerRequest, request_id: str) -> dict[str, Any]:
        """Answers one entry of a list: an answer object, or `{"id", "error"}`. Whatever fails spoils no other."""
        try:
            return (await self.answer(request)).model_dump()
        except HopfixError as error:
            return {"id": request.id, **error_body(error)}
        except Exception:
            log.exception("request %s failed", request_id)
            return {"id": request.id, **unexpected(request_id)}


async def state_of(request: Request) -> State:
    """The state of the service that a request came to. Asynchronous, since others would be called in a thread."""
    state: State = request.app.state.hopfix
    return state


Shared = Annotated[State, Depends(state_of)]
