"""Passes drawn at random, of every kind that the engines take, and what it means that two engines agree on them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from correction.engines.base import Engine
from correction.engines.vllm import VLLMEngine
from correction.mappings import MAPPINGS, TOKEN
from correction.passes import Capture, ModelShape, Pass, PassResult, Patch, Relay, Sampling, Step

TIE = 1e-3  # of log-probabilities: what "within 1e-3" leaves open


def draw(shape: ModelShape, count: int, seed: int, longest: int = 50) -> list[Pass]:
    """Plain and patched, captured, followed, left early, seen through a lens, and several of these at once.

    Of half of the plain ones the prompt is read, too.
    """
    rng = random.Random(seed)
    return [_draw(shape, rng, rng.randint(3, longest)) for _ in range(count)]


def _draw(shape: ModelShape, rng: random.Random, length: int) -> Pass:
    prompt = tuple(rng.randrange(3, shape.vocabulary) for _ in range(length))
    exit = rng.choice([None, None, rng.randint(1, shape.depth)])
    top = exit or shape.depth
    captures, patches, lens = [], {}, None
    kind = rng.choice(["plain", "read", "write", "write", "both"])
    if kind in ("read", "both"):
        captures.append(Capture(rng.randint(0, top), -1, follow=rng.random() < 0.6))
        if rng.random() < 0.4:
            captures.append(Capture(rng.randint(0, top), rng.randrange(length)))
        lens = rng.choice([None, rng.randint(1, top)])
    if kind in ("write", "both"):
        for _ in range(rng.choice([1, 1, 2, 3])):
            site = (rng.choice([0, rng.randint(0, top)]), rng.randrange(length))
            patches[site] = patch_at(shape, rng, *site)
    sampling = Sampling(rng.choice([1, 4, 8]), rng.choice([2, 5]))
    drawn = Pass(prompt, tuple(captures), tuple(patches.values()), sampling, exit, lens)
    if drawn.plain and rng.random() < 0.5:
        return replace(drawn, sampling=replace(sampling, prompt_logprobs=rng.choice([0, 3])))
    return drawn


def patch_at(shape: ModelShape, rng: random.Random, layer: int, position: int) -> Patch:
    name = rng.choice([*MAPPINGS, "token"])
    if name == "token":
        return Patch(layer, position, torch.tensor([rng.randrange(shape.vocabulary)]), TOKEN)
    state = 2 * torch.randn(shape.width, generator=torch.Generator().manual_seed(rng.randrange(1 << 30)))
    return Patch(layer, position, state, MAPPINGS[name])


def draw_relays(shape: ModelShape, count: int, seed: int) -> list[tuple[Pass, Relay]]:
    """First passes of which some are patched or left early, and second ones that some of them are too unsure for."""
    rng = random.Random(seed)
    return [_draw_relay(shape, rng) for _ in range(count)]


def _draw_relay(shape: ModelShape, rng: random.Random) -> tuple[Pass, Relay]:
    length, exit = rng.randint(3, 40), rng.choice([None, rng.randint(1, shape.depth)])
    top = exit or shape.depth
    patches = (patch_at(shape, rng, rng.randint(0, top), rng.randrange(length)),) if rng.random() < 0.3 else ()
    captures = (Capture(rng.randint(0, top), follow=True),)
    prompt = tuple(rng.randrange(3, shape.vocabulary) for _ in range(length))
    first = Pass(prompt, captures, patches, Sampling(8, 3), exit, rng.choice([None, top]))
    blanks = []
    for tokens in range(1, 7):
        places = sorted(rng.sample(range(10), tokens))
        blanks.append((tuple(rng.randrange(3, shape.vocabulary) for _ in range(10)), tuple(places)))
    exit = rng.choice([None, rng.randint(1, shape.depth)])
    layer, mapping = rng.randint(0, exit or shape.depth), MAPPINGS[rng.choice(sorted(MAPPINGS))]
    return first, Relay(tuple(blanks), layer, mapping, Sampling(4, 2), exit, rng.choice([0.0, 0.0, 1.0]))


def taken_up(first: PassResult, then: Relay) -> bool:
    """What a relay promises: a bridge that ended, of a length there is a prompt for, and likely enough."""
    fits = 0 < len(first.tokens) <= len(then.blanks)
    return first.finish_reason == "stop" and fits and first.probability >= then.least


async def heard(engine: Engine, request: Pass) -> tuple[list[Step], PassResult]:
    """What somebody hears who listens, and the result."""
    steps: list[Step] = []
    return steps, await engine.run(request, steps.append)


def assert_heard(steps: Sequence[Step], result: PassResult) -> None:
    """That nothing but what was generated was heard, all of it and in order."""
    assert tuple(step.token for step in steps) == result.tokens
    assert tuple(step.logprob for step in steps) == result.logprobs
    assert tuple(step.top for step in steps) == result.steps[: len(steps)]


def endless(engine: VLLMEngine, prompt: tuple[int, ...], patch: pytest.MonkeyPatch) -> Pass:
    """A pass that only the context ends."""
    unstopped = replace(engine.loaded)
    vars(unstopped)["stop_tokens"] = frozenset()
    patch.setattr(engine, "loaded", unstopped)
    return Pass(prompt, sampling=Sampling(engine.context - len(prompt)))


def continued(request: Pass, result: PassResult) -> Pass:
    """Reads what a pass has said, as a prompt."""
    return Pass(request.prompt + result.tokens, sampling=Sampling(0, 0, prompt_logprobs=0))


def assert_agree(requests: Sequence[Pass], ours: Sequence[PassResult], theirs: Sequence[PassResult]) -> float:
    """Tokens, log-probabilities, states and lenses; from a tie on either token is right. The largest difference."""
    assert len(requests) == len(ours) == len(theirs) > 0
    return max(_assert_agrees(*three) for three in zip(requests, ours, theirs, strict=True))


def _assert_agrees(request: Pass, a: PassResult, b: PassResult) -> float:
    assert a.patched == b.patched == len(request.patches)
    assert a.prompt_tokens == b.prompt_tokens
    tie = next(
        (
            n
            for n, step in enumerate(b.steps)
            if len(step) > 1 and step[0].probability < step[1].probability * (1 + TIE)
        ),
        None,
    )
    assert a.tokens[:tie] == b.tokens[:tie]
    if tie is None:
        assert (a.finish_reason, a.text) == (b.finish_reason, b.text)
    differences = [abs(x - y) for x, y in zip(a.logprobs[:tie], b.logprobs[:tie], strict=True)]
    differences += _of_prompts(a.prompt, b.prompt)
    for captured, expected in zip(a.states, b.states, strict=True):
        rows = len(expected) if tie is None else min(len(expected), tie + 1)
        error = (captured[:rows] - expected[:rows]).abs().max() / expected.abs().max().clamp_min(1)
        differences.append(float(error))
    assert (a.lens is None) == (b.lens is None)
    if tie != 0 and a.lens is not None and b.lens is not None:
        differences.append(abs(a.lens - b.lens))
    assert max(differences, default=0.0) < TIE, request
    return max(differences, default=0.0)


def _of_prompts(ours: Sequence[Step], theirs: Sequence[Step]) -> list[float]:
    """Differences of log-probabilities of the tokens, and of probabilities of the likeliest ones, which may be tied."""
    assert [step.token for step in ours] == [step.token for step in theirs]
    differences = []
    for a, b in zip(ours, theirs, strict=True):
        differences.append(abs(a.logprob - b.logprob))
        differences += [abs(x.probability - y.probability) for x, y in zip(a.top, b.top, strict=True)]
    return differences
