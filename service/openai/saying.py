"""What jobs say: a corrected answer in one piece, what is passed through as the model generates it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from correction.errors import HopfixError
from service.errors import rule_for
from service.openai.plan import Correction, Job, Passage
from service.places import Places
from service.schemas import AnswerObject
from service.schemas.base import Response
from service.state import State

if TYPE_CHECKING:
    from correction.completion import Piece
    from correction.corrector import Corrector


class PassedOn(Response):
    """The evidence for what came from the model as it is."""

    corrected: Literal[False]
    reason: str


Evidence = AnswerObject | PassedOn


@dataclass(frozen=True)
class Said:
    """What a job has said since the last time. The last one has the evidence, and the tokens that it all took."""

    job: Job
    piece: Piece
    evidence: Evidence | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Speaker:
    """Says jobs for one request. whole: nobody listens before the end, so each job is one `Said`."""

    state: State
    corrector: Corrector
    request_id: str
    whole: bool

    async def say(self, jobs: list[Job], places: Places) -> AsyncGenerator[Said]:
        """What all jobs say, as it comes, side by side as far as there are places. The first failure ends it."""
        heard: asyncio.Queue[Said | None] = asyncio.Queue()

        def work(job: Job) -> Callable[[], Awaitable[None]]:
            async def say() -> None:
                async with aclosing(self._job(job)) as said:
                    async for piece in said:
                        heard.put_nowait(piece)

            return say

        async def all_of_them() -> None:
            async with aclosing(places.each(map(work, jobs))) as ended:
                async for error in ended:
                    if error is not None:
                        raise error

        task = asyncio.create_task(all_of_them())
        task.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (said := await heard.get()) is not None:
                yield said
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _job(self, job: Job) -> AsyncGenerator[Said]:
        return self._corrected(job) if isinstance(job, Correction) else self._passed_on(job)

    async def _corrected(self, job: Correction) -> AsyncGenerator[Said]:
        answer = await self.state.answer(job.question, self.request_id)
        piece = _cut(self.corrector, answer.answer, job)
        yield Said(job, piece, answer, answer.usage.prompt_tokens, answer.usage.completion_tokens)

    async def _passed_on(self, job: Passage) -> AsyncGenerator[Said]:
        from correction.completion import complete, stream

        loaded, engine = self.corrector.loaded, self.corrector.engine
        text = ""
        try:
            if self.whole:
                piece = await complete(loaded, engine, job.wanted)
                yield self._last(job, piece, piece.text)
                return
            async with aclosing(stream(loaded, engine, job.wanted)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    text += piece.text
                    yield self._last(job, piece, text) if piece.finish_reason else Said(job, piece)
        except HopfixError as error:
            self.state.metrics.failures.labels(rule_for(error).code).inc()
            raise

    def _last(self, job: Passage, piece: Piece, text: str) -> Said:
        prompt, generated = len(job.wanted.prompt), piece.completion_tokens
        self.state.metrics.count_passes(prompt, generated)
        if job.shadow is not None:  # hopfix's own answers end with their line
            self.state.shadow(job.shadow, text.strip().partition("\n")[0], self.request_id)
        return Said(job, piece, PassedOn(corrected=False, reason=job.reason), prompt, generated * len(job.choices))


def _cut(corrector: Corrector, text: str, job: Correction) -> Piece:
    """The answer up to a stop string and within the tokens asked for."""
    from correction.completion import Piece

    end = min((at for stop in job.stops if (at := text.find(stop)) >= 0), default=None)
    text, limit = text[:end], corrector.max_tokens
    if len(text.encode()) >= min(limit, limit if job.most is None else job.most):  # no token is less than a byte
        tokens = corrector.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        if job.most is not None and len(tokens) > job.most:
            return Piece(corrector.loaded.decode(list(tokens[: job.most])), finish_reason="length")
        if end is None and len(tokens) >= limit:
            return Piece(text, finish_reason="length")
    return Piece(text, finish_reason="stop")
