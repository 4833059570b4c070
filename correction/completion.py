"""Plain generation as text: what the model itself makes of a prompt, with nothing patched.

Engines know token ids alone. Here they become pieces of text, stop strings end them, and log-probabilities find their
tokens: in one place for every engine.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat, takewhile
from typing import Literal

from correction.detokenizer import Detokenizer
from correction.engines.base import Engine
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, Sampling, Step

LEAST = -9999.0  # the log-probability of what cannot be: JSON has no infinity


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

    Among them is the end of sequence, without text: who reads likelihoods relies on max_tokens of them or an end.
    completion_tokens: generated so far, the one that stopped it left out.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    finish_reason: Literal["stop", "length"] | None = None
    completion_tokens: int = 0


async def stream(loaded: LoadedModel, engine: Engine, wanted: Wanted) -> AsyncIterator[Piece]:
    """The completion piece by piece as the engine generates it; closing the iterator abandons the pass.

    Raises as `Engine.run` does. With echo and logprobs it is one piece: the prompt's own come with the engine's result.
    """
    request = _pass(wanted)
    if request.sampling.prompt_logprobs is not None:
        yield await _scored(loaded, engine, wanted, request)
        return
    heard: asyncio.Queue[Step | None] = asyncio.Queue()
    running = asyncio.create_task(engine.run(request, heard.put_nowait))
    running.add_done_callback(lambda done: heard.put_nowait(None))
    writer = _Writer(loaded, wanted)
    try:
        if wanted.echo:
            yield Piece(loaded.text(wanted.prompt))
        while (step := await heard.get()) is not None:
            piece = writer.add(step)
            if piece.text or piece.tokens or piece.finish_reason:
                yield piece
            if piece.finish_reason:
                return
        yield writer.end(await running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def complete(loaded: LoadedModel, engine: Engine, wanted: Wanted) -> Piece:
    """The whole completion as one piece."""
    return _joined([piece async for piece in stream(loaded, engine, wanted)])


def _pass(wanted: Wanted) -> Pass:
    scored = wanted.logprobs if wanted.echo else None
    sampling = Sampling(
        max_tokens=wanted.max_tokens,
        top_logprobs=wanted.logprobs or 0,
        lines=False,
        temperature=wanted.temperature,
        top_p=wanted.top_p,
        seed=wanted.seed,
        prompt_logprobs=scored,
    )
    return Pass(wanted.prompt, sampling=sampling)


async def _scored(loaded: LoadedModel, engine: Engine, wanted: Wanted, request: Pass) -> Piece:
    result = await engine.run(request)
    return await asyncio.to_thread(_written, loaded, wanted, result)  # a long prompt takes its time


def _written(loaded: LoadedModel, wanted: Wanted, result: PassResult) -> Piece:
    pieces = [_echoed(loaded, wanted.prompt, result.prompt)]
    writer = _Writer(loaded, wanted)
    for token, logprob, top in zip(result.tokens, result.logprobs, _tops(result), strict=False):
        pieces.append(writer.add(Step(token, logprob, top)))
        if pieces[-1].finish_reason:
            return _joined(pieces)
    return _joined([*pieces, writer.end(result)])


def _tops(result: PassResult) -> Iterable[tuple[Alternative, ...]]:
    return result.steps or repeat(())


def _echoed(loaded: LoadedModel, prompt: Sequence[int], scored: Sequence[Step]) -> Piece:
    """The prompt's tokens; together their texts are its text."""
    detokenizer = Detokenizer(loaded)
    texts = [detokenizer.add(token) for token in prompt]
    texts[-1] += detokenizer.rest()
    tokens = [Token(prompt[0], texts[0], None)]
    tokens += [_token(loaded, step, text) for step, text in zip(scored, texts[1:], strict=True)]
    return Piece("".join(texts), tuple(tokens))


def _token(loaded: LoadedModel, step: Step, text: str) -> Token:
    """An alternative that is the token itself has its text and its number: clients look for one among the other."""
    own = max(step.logprob, LEAST)

    def listed(alternative: Alternative) -> tuple[str, float]:
        if alternative.token == step.token:
            return text, own
        logprob = math.log(alternative.probability) if alternative.probability else LEAST
        return loaded.continuation(alternative.token), logprob

    return Token(step.token, text, own, tuple(map(listed, step.top)))


def _joined(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        pieces[-1].finish_reason,
        pieces[-1].completion_tokens,
    )


class _Writer:
    """Generated tokens as pieces.

    Text is held back while it may become a stop string, and tokens until their text is out.
    """

    def __init__(self, loaded: LoadedModel, wanted: Wanted) -> None:
        self._loaded = loaded
        self._wanted = wanted
        self._stops = [stop for stop in wanted.stop if stop]
        self._detokenizer = Detokenizer(loaded, wanted.prompt)
        self._count = 0
        self._held = ""
        self._given = 0  # characters
        self._steps: list[tuple[int, Step, str]] = []  # those held back, each with where its text begins

    def add(self, step: Step) -> Piece:
        """What has come with one more token; it ends the completion where a stop string is whole."""
        self._count += 1
        text = self._detokenizer.add(step.token)
        if self._wanted.logprobs is not None:
            self._steps.append((self._given + len(self._held), step, text))
        self._held += text
        if (stop := self._stop()) is not None:
            return self._give(stop, "stop")
        return self._give(len(self._held) - self._unsure(), None)

    def end(self, result: PassResult) -> Piece:
        """What is left when the pass is over."""
        rest = self._detokenizer.rest()
        self._held += rest
        if self._steps:
            begin, step, text = self._steps[-1]
            self._steps[-1] = begin, step, text + rest
        if (stop := self._stop()) is not None:
            return self._give(stop, "stop")
        last = self._give(len(self._held), "stop" if result.finish_reason == "stop" else "length")
        if self._wanted.logprobs is None or result.stop_logprob is None:
            return last
        top = result.steps[-1] if result.steps else ()
        ends = self._loaded.end_tokens
        token = next((alternative.token for alternative in top if alternative.token in ends), min(ends))
        end = _token(self._loaded, Step(token, result.stop_logprob, top), "")
        return replace(last, tokens=(*last.tokens, end))

    def _stop(self) -> int | None:
        """Where the first stop string begins."""
        return min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=None)

    def _unsure(self) -> int:
        """How many of the last characters may begin a stop string."""
        return max(map(self._overlap, self._stops), default=0)

    def _overlap(self, stop: str) -> int:
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)

    def _give(self, length: int, reason: Literal["stop", "length"] | None) -> Piece:
        """Gives out so many characters of what is held back, and the tokens whose text that completes."""
        text, self._held = self._held[:length], self._held[length:]
        self._given += length

        def whole(held: tuple[int, Step, str]) -> bool:
            begin, _, text = held
            if reason is None:
                return begin < self._given and begin + len(text) <= self._given
            return begin < self._given or not self._held  # a stop string leaves something of itself behind

        given = list(takewhile(whole, self._steps))
        del self._steps[: len(given)]
        tokens = tuple(_token(self._loaded, step, text[: self._given - begin]) for begin, step, text in given)
        return Piece(text, tokens, reason, self._count)
