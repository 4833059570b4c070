"""Plain generation as text: what the model itself makes of a prompt, with nothing patched.

Engines know token ids alone. Here they become pieces of text, stop strings end them, and log-probabilities find their
tokens: in one place for every engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from correction.engines.base import Engine
from correction.models import LoadedModel


@dataclass(frozen=True)
class Wanted:
    """One completion of a prompt of token ids.

    stop: texts that end it and are no part of it. logprobs: how many alternatives come with each token, None for no
    log-probabilities. echo: the prompt comes first, with log-probabilities of its own tokens if they are asked for.
    max_tokens may be 0 with echo: then the prompt is read and nothing generated.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    logprobs: int | None = None
    echo: bool = False


@dataclass(frozen=True)
class Token:
    """A token of the text. logprob: natural logarithm, None for a prompt's first; top: (text, logprob), best first.

    text: what the token adds to the text, empty where it ends in the middle of a character. token: its id.
    """

    token: int
    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What has come since the piece before it. The last one has a finish_reason; tokens come if logprobs were asked.

    completion_tokens: generated so far, the one that stopped it left out.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    finish_reason: Literal["stop", "length"] | None = None
    completion_tokens: int = 0


async def stream(loaded: LoadedModel, engine: Engine, wanted: Wanted) -> AsyncIterator[Piece]:
    """The completion piece by piece as the engine generates it; closing the iterator abandons the pass.

    Raises as `Engine.run` does.
    """
    raise NotImplementedError
    yield


async def complete(loaded: LoadedModel, engine: Engine, wanted: Wanted) -> Piece:
    """The whole completion as one piece."""
    raise NotImplementedError
