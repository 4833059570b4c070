"""Under every condition that runs on a CPU, a patched vLLM gives what the custom forward gives.

One start of vLLM for each. 200 passes of every kind run at once in one continuous batch, plain ones among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.correction.engines.vllm_plugin.conftest import Beside, counted, start, stopping_often
from tests.vllm_passes import assert_agree, draw, draw_relays, taken_up
from tests.vllm_server import NEEDS_VLLM

pytestmark = NEEDS_VLLM

PASSES = 200


@dataclass(frozen=True)
class Condition:
    model: str
    arguments: dict[str, Any] = field(default_factory=dict)


# Steps of 64 tokens: prompts are cut into chunks, and patched positions fall into later ones.
CHUNKED = {"max_num_batched_tokens": 64, "max_num_seqs": 16}
# Room for 6 blocks of 32 tokens, 16 requests of up to 58 tokens each: some are thrown out and computed again.
TIGHT = {**CHUNKED, "num_gpu_blocks_override": 6, "max_model_len": 64, "disable_log_stats": False}
CONDITIONS = {
    "llama, chunked prefill, preemption": Condition("llama", TIGHT),
    "llama, torch.compile": Condition("llama", {"enforce_eager": False}),
    "llama, tensor parallel 2": Condition("llama", {"tensor_parallel_size": 2, **CHUNKED}),
    "llama, pipeline parallel 2": Condition("llama", {"pipeline_parallel_size": 2, **CHUNKED}),
    "qwen3, chunked prefill": Condition("qwen3", CHUNKED),
    "gemma2, chunked prefill": Condition("gemma2", CHUNKED),
    "gpt_neox, chunked prefill": Condition("gpt_neox", CHUNKED),
}


@pytest.fixture(scope="module", params=CONDITIONS)
def condition(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def beside(condition: str, runner: asyncio.Runner, folders: dict[str, Path]) -> Iterator[Beside]:
    chosen = CONDITIONS[condition]
    started = start(runner, str(folders[chosen.model]), chosen.arguments)
    yield started
    started.close()


def test_every_kind_of_pass_agrees_with_the_custom_forward(beside: Beside, condition: str) -> None:
    requests = draw(beside.loaded.shape, PASSES, seed=1)
    difference = assert_agree(requests, beside.ours(requests), beside.theirs(requests))
    print(f"\n{condition}: largest difference {difference:.1e} over {PASSES} passes")  # noqa: T201
    if "preemption" in condition:
        assert counted("vllm:num_preemptions_total") > 0


def test_relays_agree_with_one_pass_after_the_other(beside: Beside, condition: str) -> None:
    relays = draw_relays(beside.loaded.shape, 120, seed=2)
    with stopping_often(beside, [first for first, _ in relays]):
        ours = beside.our_relays(relays)
        firsts = beside.theirs([first for first, _ in relays])
        went_on = [taken_up(first, then) for first, (_, then) in zip(firsts, relays, strict=True)]
        seconds = [then.second(first) for first, (_, then), on in zip(firsts, relays, went_on, strict=True) if on]
        assert_agree([first for first, _ in relays], [first for first, _ in ours], firsts)
        assert [second is not None for _, second in ours] == went_on
        assert 5 < sum(went_on) < 115
        assert_agree(seconds, [second for _, second in ours if second is not None], beside.theirs(seconds))
