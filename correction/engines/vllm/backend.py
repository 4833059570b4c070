"""What the engine asks of a vLLM, wherever it runs: token ids in, token ids and log-probabilities out.

A backend knows nothing of hops, patches or text; what hopfix's plugin reads and answers travels through it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from correction.passes import Sampling


@dataclass(frozen=True)
class Asked:
    """One generation, of at least one token. `stop` ids alone end it; `sites` is the text that the plugin reads
    (`wire`), if there is any."""

    prompt: tuple[int, ...]
    sampling: Sampling
    stop: frozenset[int]
    sites: str | None = None


class Token(NamedTuple):
    """A token's id, its log-probability, and the likeliest tokens at its place with theirs, best first."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


Told = Callable[[Token], None]  # called in the event loop for each token that is generated, as it comes


@dataclass(frozen=True)
class Generated:
    """What came: every token, the one that stopped it included.

    prompt: each token of the prompt but the first, if that was asked for. report: what the plugin says it did
    (`wire`), None where there is no plugin.
    """

    tokens: tuple[Token, ...]
    stopped: bool
    prompt: tuple[Token, ...] = ()
    report: Any = None

    def part(self, begin: int, end: int) -> Generated:
        """Tokens `begin` to `end` by themselves; all but a request's last ones were stopped."""
        return Generated(self.tokens[begin:end], self.stopped if end == len(self.tokens) else True)


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

    async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
        """Runs to the end, and tells of each token if anybody listens; cancelling the call aborts it.

        Raises `EngineUnavailable` if vLLM does not finish it, `InvalidInput` if vLLM refuses it, and `PatchNotApplied`
        if the plugin could not do what was asked.
        """
        ...

    async def close(self) -> None:
        """Gives it up; what is in flight fails with `EngineUnavailable`."""
        ...
