"""Passes drawn at random, of every kind that the engines take, and what it means that two engines agree on them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from correction.mappings import MAPPINGS, TOKEN
from correction.passes import Capture, ModelShape, Pass, PassResult, Patch, Sampling

TIE = 1e-3  # of log-probabilities: what "within 1e-3" leaves open


def draw(shape: ModelShape, count: int, seed: int, longest: int = 50) -> list[Pass]:
    """Plain and patched, captured, followed, left early, seen through a lens, and several of these at once."""
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
    return Pass(prompt, tuple(captures), tuple(patches.values()), sampling, exit, lens)


def patch_at(shape: ModelShape, rng: random.Random, layer: int, position: int) -> Patch:
    name = rng.choice([*MAPPINGS, "token"])
    if name == "token":
        return Patch(layer, position, torch.tensor([rng.randrange(shape.vocabulary)]), TOKEN)
    state = 2 * torch.randn(shape.width, generator=torch.Generator().manual_seed(rng.randrange(1 << 30)))
    return Patch(layer, position, state, MAPPINGS[name])


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
    for captured, expected in zip(a.states, b.states, strict=True):
        rows = len(expected) if tie is None else min(len(expected), tie + 1)
        error = (captured[:rows] - expected[:rows]).abs().max() / expected.abs().max().clamp_min(1)
        differences.append(float(error))
    assert (a.lens is None) == (b.lens is None)
    if tie != 0 and a.lens is not None and b.lens is not None:
        differences.append(abs(a.lens - b.lens))
    assert max(differences, default=0.0) < TIE, request
    return max(differences, default=0.0)
