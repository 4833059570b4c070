"""What the engine asks of a vLLM, wherever it runs: token ids in, token ids and log-probabilities out.

A backend knows nothing of passes, hops or patches; what hopfix's plugin reads and answers travels through it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Asked:
    """One greedy generation. `stop` ids end it; `sites` is the text that the plugin reads (`wire`), if there is any."""

    prompt: tuple[int, ...]
    max_tokens: int
    top_logprobs: int
    stop: frozenset[int]
    sites: str | None = None


@dataclass(frozen=True)
class Generated:
    """What came: every token, the one that stopped it included; for each its log-probability and the likeliest ones.

    steps: for each token the likeliest tokens with their log-probabilities, best first. report: what the plugin says
    it did (`wire`), None where there is no plugin.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    steps: tuple[tuple[tuple[int, float], ...], ...]
    stopped: bool
    report: Any = None

    def part(self, begin: int, end: int) -> Generated:
        """Tokens `begin` to `end` by themselves; all but a request's last ones were stopped."""
        stopped = self.stopped if end == len(self.tokens) else True
        return Generated(self.tokens[begin:end], self.logprobs[begin:end], self.steps[begin:end], stopped)


class Backend(Protocol):
    """One vLLM. After `start` failed or it has trouble it is closed and another is made in its place (`supervised`).

    restarts: how often that has been done.
    """

    restarts: int

    async def start(self) -> int:
        """Starts or reaches it; the most tokens that prompt and answer may have together.

        Raises `EngineUnavailable` if it cannot be had.
        """
        ...

    @property
    def trouble(self) -> str | None:
        """Why it does not answer, None while it may; also without anything being asked of it."""
        ...

    async def generate(self, asked: Asked) -> Generated:
        """Runs to the end; cancelling the call aborts it.

        Raises `EngineUnavailable` if vLLM does not finish it, `InvalidInput` if vLLM refuses it, and `PatchNotApplied`
        if the plugin could not do what was asked.
        """
        ...

    async def close(self) -> None:
        """Gives it up; what is in flight fails with `EngineUnavailable`."""
        ...
