"""Two engines as one: vLLM runs the plain passes, the custom forward those that read or overwrite hidden states.

The custom forward can run any pass, so it also stands in for vLLM when that is down, slow, or refuses. Each result
names the engine that gave it; only the result does, since which engine it will be is not known before the pass has run.
Once a token was heard from vLLM nobody stands in any more: two engines' tokens are not mixed in one answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from correction.engines.base import Engine, Sharing
from correction.errors import EngineUnavailable, InvalidInput
from correction.grid import Grid, GridPass
from correction.passes import Heard, Pass, PassResult, Sampling, Step

TRIALS = 16  # one-token prompts that both are asked at the start
SHORT = 64  # tokens that a pass may generate within the deadline; a longer one has it as often as it has as many

logger = logging.getLogger(__name__)


class SplitEngine:
    """Plain passes that fit into its context go to `vllm`, all others to `hf`, which has the same model.

    A pass of up to `SHORT` tokens may take `deadline` seconds on vLLM, a longer one as many more as it is longer; one
    that is listened to may take them for each token. `standins` counts what the custom forward ran in its place: "down"
    (it has trouble and says so), "slow", "failed" (it could not finish a pass, or take one), "refused".
    """

    name = "hf+vllm"
    can_patch = True

    def __init__(self, hf: Engine, vllm: Engine, *, deadline: float = 30.0) -> None:
        self.hf = hf
        self.vllm = vllm
        self.context = hf.context
        self.deadline = deadline
        self.standins: Counter[str] = Counter()
        # Of a vLLM that is slow or fails without saying why: the reason, and the pass that finds out when it is well.
        self._outage: tuple[str, str] | None = None
        self._trial: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def trouble(self) -> str | None:
        return self.vllm.trouble or (self._outage[1] if self._outage else None)

    @property
    def down(self) -> bool:
        return self.hf.down

    @property
    def restarts(self) -> int:
        return self.vllm.restarts

    def share(self, beginnings: Sequence[tuple[int, ...]]) -> None:
        """Tells the custom forward; vLLM finds by itself what prompts share."""
        if isinstance(self.hf, Sharing):
            self.hf.share(beginnings)

    async def start(self) -> None:
        """Starts both; raises `EngineUnavailable` if vLLM cannot start, as that is what was asked for.

        Raises `InvalidInput` if vLLM has another model: its answers would be taken for this one's.
        """
        await self.hf.start()
        await self.vllm.start()
        trials = [Pass((token,), sampling=Sampling(1, 5)) for token in range(TRIALS)]
        ours = await asyncio.gather(*map(self.hf.run, trials))
        theirs = await asyncio.gather(*map(self.vllm.run, trials))
        if sum(map(_alike, ours, theirs)) <= TRIALS / 2:
            raise InvalidInput(
                "vLLM has another model than the custom forward", hint="let it serve the same weights", param="vllm_url"
            )

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        if self._first(request) is self.hf:
            return await self.hf.run(request, heard)
        if self.vllm.trouble:
            return await self._stand_in(request, heard, "down")
        if self._outage:
            self._try(request)
            return await self._stand_in(request, heard, self._outage[0])
        begun = False

        def pass_on(step: Step) -> None:
            nonlocal begun
            begun = True
            assert heard is not None
            heard(step)

        try:
            return await self._on_vllm(request, pass_on if heard else None)
        except InvalidInput as error:
            if not self.standins["refused"]:
                logger.warning("vLLM refused a pass, the custom forward runs such passes: %s", error)
            reason = "refused"
        except EngineUnavailable as error:
            if self._closed:
                raise
            reason = self._blame(error)
        if begun:
            raise EngineUnavailable("vLLM stopped in the middle of an answer", hint="ask again")
        return await self._stand_in(request, heard, reason)

    async def grid(self, request: GridPass, on_done: Callable[[int], None] = lambda prompts: None) -> Grid:
        return await self.hf.grid(request, on_done)

    async def close(self) -> None:
        self._closed = True
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        try:
            await self.hf.close()
        finally:
            await self.vllm.close()

    def _first(self, request: Pass) -> Engine:
        fits = len(request.prompt) + request.sampling.max_tokens <= self.vllm.context
        return self.vllm if request.plain and fits else self.hf

    def _blame(self, error: EngineUnavailable) -> str:
        """Why vLLM did not run a pass; what it does not say itself is remembered."""
        if self.vllm.trouble:
            return "down"
        reason = "slow" if isinstance(error, _Slow) else "failed"
        if self._outage is None:  # once, not for every pass
            logger.warning("the custom forward runs vLLM's passes: %s", error)
            self._outage = reason, str(error)
        return reason

    async def _on_vllm(self, request: Pass, heard: Heard | None = None) -> PassResult:
        def alive(step: Step) -> None:
            if heard and not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time() + self.deadline)
                heard(step)

        seconds = self.deadline if heard else self.deadline * max(1.0, request.sampling.max_tokens / SHORT)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self.vllm.run(request, alive if heard else None)
        except TimeoutError:
            if not limit.expired():  # somebody else's
                raise
            raise _Slow(f"vLLM gave nothing for {seconds:g} seconds") from None

    async def _stand_in(self, request: Pass, heard: Heard | None, reason: str) -> PassResult:
        result = await self.hf.run(request, heard)
        self.standins[reason] += 1
        return result

    def _try(self, request: Pass) -> None:
        """Runs a copy of the pass on vLLM, one at a time, for which nobody waits: the outage ends when it succeeds."""
        if self._trial is None or self._trial.done():
            self._trial = asyncio.create_task(self._end_outage(request))

    async def _end_outage(self, request: Pass) -> None:
        try:
            short = replace(request.sampling, max_tokens=min(request.sampling.max_tokens, SHORT))
            await self._on_vllm(replace(request, sampling=short))
        except (EngineUnavailable, InvalidInput):
            return
        self._outage = None
        logger.info("vLLM runs its passes again")


def _alike(ours: PassResult, theirs: PassResult) -> bool:
    """Whether the likeliest token there is a likely one here, too, though rounding may let neighbours change places."""
    best, known = theirs.alternatives[0], {a.token: a.probability for a in ours.alternatives}
    return abs(known.get(best.token, math.inf) - best.probability) < 0.1


class _Slow(EngineUnavailable):
    pass
