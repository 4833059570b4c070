"""Patched and clean requests share the prefix cache up to the first patched position, and nothing after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from correction.passes import Capture, ModelShape, Pass, Sampling
from tests.correction.engines.vllm_plugin.conftest import Beside, counted, start
from tests.vllm_passes import assert_agree, patch_at
from tests.vllm_server import NEEDS_VLLM

pytestmark = NEEDS_VLLM

BLOCK = 32
HITS = "vllm:prefix_cache_hits_total"


@pytest.fixture(scope="module")
def beside(runner: asyncio.Runner, folders: dict[str, Path]) -> Iterator[Beside]:
    started = start(runner, str(folders["llama"]), {"max_num_batched_tokens": 512, "disable_log_stats": False})
    yield started
    started.close()


@pytest.fixture
def prompt(beside: Beside, request: pytest.FixtureRequest) -> tuple[int, ...]:
    """Four blocks and a bit, of tokens that no other test has."""
    rng = random.Random(request.node.name)
    return tuple(rng.randrange(3, beside.loaded.shape.vocabulary) for _ in range(4 * BLOCK + 5))


def hits(beside: Beside, request: Pass) -> int:
    """How many tokens of it came from the cache; its result is checked on the way."""
    before = counted(HITS)
    assert_agree([request], beside.ours([request]), beside.theirs([request]))
    return int(counted(HITS) - before)


def test_1000_mixed_requests_in_random_order_agree_with_an_engine_that_has_no_cache(beside: Beside) -> None:
    """Clean, patched, captured and left early, on prompts that share 3 long beginnings, over and over."""
    requests = mixed(beside.loaded.shape, 1000)
    clean = [n for n, request in enumerate(requests) if request.plain]
    assert 300 < len(clean) < 700
    before = counted(HITS)
    difference = assert_agree(requests, beside.ours(requests), beside.theirs(requests))
    cached = counted(HITS) - before
    total = sum(len(request.prompt) for request in requests)
    print(f"\n{len(clean)} clean of 1000, {cached / total:.0%} of tokens cached, difference {difference:.1e}")  # noqa: T201
    assert cached > 0.1 * total


def mixed(shape: ModelShape, count: int) -> list[Pass]:
    rng = random.Random(7)
    beginnings = [tuple(rng.randrange(3, shape.vocabulary) for _ in range(100)) for _ in range(3)]
    requests = []
    for _ in range(count):
        tail = tuple(rng.randrange(3, shape.vocabulary) for _ in range(rng.choice([1, 1, 20])))
        request = Pass((*rng.choice(beginnings), *tail), sampling=Sampling(4, 2))
        kind = rng.choice(["clean", "clean", "clean", "patched", "patched", "captured", "left", "read"])
        if kind == "read":
            request = replace(request, sampling=Sampling(4, 2, prompt_logprobs=rng.choice([0, 2])))
        elif kind == "patched":
            site = rng.choice([0, 2, shape.depth]), rng.choice([3, 31, 32, 70, 99, -1])
            request = replace(request, patches=(patch_at(shape, rng, *site),))
        elif kind == "captured":
            request = replace(request, captures=(Capture(2, rng.choice([5, 64, -1])),))
        elif kind == "left":
            request = replace(request, exit=rng.choice([1, 3]))
        requests.append(request)
    return requests


@pytest.mark.parametrize(
    ("position", "shared"), [(2 * BLOCK, 2), (2 * BLOCK - 1, 1), (3 * BLOCK + 7, 3), (-1, 4), (0, 0)]
)
def test_a_patched_request_shares_exactly_the_blocks_before_its_patch(
    beside: Beside, prompt: tuple[int, ...], position: int, shared: int
) -> None:
    patched = Pass(prompt, patches=(patch_at(beside.loaded.shape, random.Random(1), 2, position),))
    assert hits(beside, Pass(prompt)) == 0
    assert hits(beside, patched) == shared * BLOCK
    assert hits(beside, Pass(prompt)) == 4 * BLOCK  # what the patch has left behind is not taken for clean


def test_the_same_patch_again_is_served_from_the_cache_and_still_counts(
    beside: Beside, prompt: tuple[int, ...]
) -> None:
    patched = Pass(prompt, patches=(patch_at(beside.loaded.shape, random.Random(2), 1, 5),))
    assert hits(beside, patched) == 0
    assert hits(beside, patched) == 4 * BLOCK
    other = Pass(prompt, patches=(patch_at(beside.loaded.shape, random.Random(3), 1, 5),))
    assert hits(beside, other) == 0


def test_a_request_that_leaves_early_shares_with_its_like_alone(beside: Beside, prompt: tuple[int, ...]) -> None:
    assert hits(beside, Pass(prompt, exit=2)) == 0
    assert hits(beside, Pass(prompt, exit=2)) == 4 * BLOCK
    assert hits(beside, Pass(prompt)) == 0  # the blocks of the model that were left out have written nothing
    assert hits(beside, Pass(prompt, exit=3)) == 0


def test_a_prompt_that_is_read_is_computed_again_and_left_for_others(beside: Beside, prompt: tuple[int, ...]) -> None:
    read = Pass(prompt, sampling=Sampling(1, 1, prompt_logprobs=1))
    assert [hits(beside, read), hits(beside, read), hits(beside, Pass(prompt))] == [0, 0, 4 * BLOCK]


def test_a_capture_inside_a_cached_prompt_is_computed_again(beside: Beside, prompt: tuple[int, ...]) -> None:
    assert hits(beside, Pass(prompt)) == 0
    assert hits(beside, Pass(prompt, captures=(Capture(3, 10),))) == 0
    assert hits(beside, Pass(prompt, captures=(Capture(3),))) == 4 * BLOCK  # the last position always runs
