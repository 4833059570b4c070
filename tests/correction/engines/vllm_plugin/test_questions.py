"""Questions on the engine `vllm` are answered as on `hf`, and what goes wrong in one request stays in it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from correction.answers import Answer
from correction.corrector import Corrector
from correction.engines.vllm.backend import Asked
from correction.engines.vllm.wire import packed, to_text
from correction.errors import InvalidInput, PatchNotApplied
from correction.grid import GridPass
from correction.passes import Capture, Pass, Sampling
from correction.profile import Profile
from eval.demo_world.suite import demo_suite
from tests.correction.engines.vllm_plugin.conftest import Beside, start, stopping_often
from tests.vllm_passes import assert_agree, assert_heard, draw, draw_relays, heard, patch_at
from tests.vllm_server import NEEDS_VLLM

pytestmark = NEEDS_VLLM


@pytest.fixture(scope="module")
def beside(runner: asyncio.Runner) -> Iterator[Beside]:
    started = start(runner, "demo", {"worker_extension_cls": "tests.sabotage.Saboteur"})
    yield started
    started.close()


@pytest.mark.parametrize(
    "strategy", ["deployed", "two_step", "direct", "patched", "hard_token", "mid_layer", "back_patched"]
)
def test_200_questions_are_answered_as_by_the_custom_forward(
    beside: Beside, demo_profile: Profile, strategy: str
) -> None:
    questions = [question.ask() for question in demo_suite()["test"][:200]]
    assert len(questions) == 200

    def answers(engine: Any) -> list[Answer]:
        given = beside.runner.run(Corrector(engine.loaded, engine, demo_profile).answer_all(questions, strategy))
        return [answer for answer in given if isinstance(answer, Answer)]

    ours, theirs = answers(beside.vllm), answers(beside.hf)
    assert len(ours) == len(theirs) == 200
    for a, b in zip(ours, theirs, strict=True):
        assert (a.answer, a.corrected, a.patch, a.fallback and a.fallback.reason) == (
            b.answer,
            b.corrected,
            b.patch,
            b.fallback and b.fallback.reason,
        )
        assert (a.bridge and a.bridge.text) == (b.bridge and b.bridge.text)
        assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
        assert a.usage == b.usage


def test_an_uncertain_bridge_is_weighed_alike(beside: Beside, demo_profile: Profile) -> None:
    questions = [question.ask() for question in demo_suite()["uncertain"][:60]]
    ours, theirs = (
        beside.runner.run(Corrector(engine.loaded, engine, demo_profile).answer_all(questions))
        for engine in (beside.vllm, beside.hf)
    )
    assert [a.answer for a in ours if isinstance(a, Answer)] == [a.answer for a in theirs if isinstance(a, Answer)]
    assert any(a.patch and a.patch.mapping == "hard_token" for a in ours if isinstance(a, Answer))


def test_a_patch_that_was_not_written_fails_its_request_and_no_other(beside: Beside) -> None:
    shape = beside.loaded.shape
    patched = Pass((5, 6, 7), patches=(patch_at(shape, random.Random(0), 2, 1),))
    early = Pass((5, 6, 7), exit=2)
    plain = Pass((5, 6, 7))
    sabotage(beside, dropped=True)
    try:

        async def together() -> list[Any]:
            return await asyncio.gather(
                *(beside.vllm.run(request) for request in (patched, plain, early)), return_exceptions=True
            )

        failed, answered, left = beside.runner.run(together())
    finally:
        sabotage(beside, dropped=False)
    assert isinstance(failed, PatchNotApplied)
    assert "writes took place" in str(failed)
    assert isinstance(left, PatchNotApplied)
    assert answered.tokens == beside.theirs([plain])[0].tokens
    assert_agree([patched, early], beside.ours([patched, early]), beside.theirs([patched, early]))


def sabotage(beside: Beside, *, dropped: bool) -> None:
    engine = beside.vllm._backend._engine
    beside.runner.run(engine.collective_rpc("drop_sites", args=(dropped,)))


STATE = packed(np.ones((1, 128), np.float32))
THEN = {"blanks": [[[5, 6], [1]]], "layer": 0, "mapping": "vocabulary", "max_tokens": 2}
PATCH = {"patches": [[2, 1, "identity"]], "states": STATE}


@pytest.mark.parametrize(
    ("sites", "says"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ({"capture": []}, "Extra inputs"),
        ({"captures": [[1, 0]]}, "captures.0"),
        ({"captures": [[1, 99, False]]}, "position 99 is out of range"),
        ({"captures": [[7, 0, False]]}, "layer 7 is out of range"),
        ({"captures": [[5, 0, False]], "exit": 4}, "layer 5 is not reached"),
        ({"captures": [[1, 0, True]]}, "only the last position can be followed"),
        ({"captures": [[1, 0, False]] * 2000}, "at most 1024"),
        ({"exit": 0}, "cannot exit at layer 0"),
        ({"lens": 9}, "layer 9 is out of range"),
        ({"patches": [[0, 0, 10**6]]}, "token of the model"),
        ({"patches": [[0, 0, -1]]}, "token of the model"),
        ({"patches": [[2, 1, "identity"]]}, "1 patches with a mapping, but 0 states"),
        ({**PATCH, "patches": [[2, 1, "sorcery"]]}, "unknown mapping 'sorcery'"),
        ({**PATCH, "patches": [[2, 1, "secret.safetensors"]]}, "unknown mapping 'secret.safetensors'"),
        ({**PATCH, "patches": [[2, 1, "vocabulary+vocabulary"]]}, "cannot follow"),
        ({**PATCH, "patches": [[2, 1, "norm_matched+hard_token"]]}, "reads the model too late"),
        ({**PATCH, "patches": [[2, 1, "+".join(["added"] * 9)]]}, "a chain of more than 8"),
        ({"patches": [[0, 1, 5], [0, -2, 6]]}, "two patches at one site"),
        ({"patches": [[0, 0, 10**30]]}, "patches.0.2"),
        ({"captures": [[1, -1, True]], "then": {**THEN, "blanks": [[[5, 6], [2]]]}}, "position 2 is out of range"),
        ({"captures": [[1, -1, True]], "then": {**THEN, "blanks": [[[5, 6], [0, 1]]]}}, "2 placeholders for 1 tokens"),
        ({"captures": [[1, -1, True]], "then": {**THEN, "mapping": "sorcery"}}, "unknown mapping"),
        ({"captures": [[1, -1, False]], "then": THEN}, "takes up what its first capture has followed"),
        ({**PATCH, "states": {**STATE, "dtype": "float16"}}, "states of dtype 'float16'"),
        ({**PATCH, "states": {**STATE, "shape": [1, 64]}}, "512 bytes for states of shape (1, 64)"),
        ({**PATCH, "states": {**STATE, "shape": [2, 64]}}, "but 2 states"),
        ({**PATCH, "states": {**STATE, "shape": [-1, -128]}}, "for states of shape (-1, -128)"),
        ({**PATCH, "states": {**STATE, "data": "a mess"}}, "not base64"),
        ({**PATCH, "states": packed(np.full((1, 128), np.nan, np.float32))}, "not finite"),
        ({**PATCH, "states": packed(np.ones((1, 64), np.float32))}, "does not fit the mapping"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason_and_the_engine_lives_on(
    beside: Beside, sites: Any, says: str
) -> None:
    text = sites if isinstance(sites, str) else json.dumps(sites)
    asked = Asked((5, 6, 7), Sampling(2, 0), frozenset({1}), text)
    with pytest.raises(InvalidInput) as caught:
        beside.runner.run(beside.vllm._backend.generate(asked))
    assert says in str(caught.value)
    assert len(beside.ours([Pass((5, 6, 7), sampling=Sampling(2))])) == 1


def test_what_is_patched_can_be_sampled_but_its_prompt_not_be_read(beside: Beside) -> None:
    patch = patch_at(beside.loaded.shape, random.Random(4), 2, -1)
    patched = Pass((5, 6, 7), patches=(patch,))
    drawn = [replace(patched, sampling=Sampling(16, lines=False, temperature=2.0, seed=seed)) for seed in (1, 1, 2)]
    first, again, other = beside.ours(drawn)
    assert first.tokens == again.tokens != other.tokens
    assert {result.patched for result in (first, again, other)} == {1}
    likeliest = beside.ours([replace(patched, sampling=Sampling(8, temperature=1.0, top_p=1e-6, seed=3))])
    assert_agree([patched], likeliest, beside.theirs([replace(patched, sampling=Sampling(8))]))
    with pytest.raises(InvalidInput, match="no log-probabilities of the prompt"):
        beside.ours([replace(patched, sampling=Sampling(2, prompt_logprobs=1))])


def test_a_patched_pass_is_heard_as_it_comes(beside: Beside) -> None:
    request = Pass((5, 6, 7), patches=(patch_at(beside.loaded.shape, random.Random(5), 1, 1),))
    steps, result = beside.runner.run(heard(beside.vllm, request))
    assert_heard(steps, result)
    assert_agree([request], [result], beside.theirs([request]))


def test_a_relay_whose_hops_are_sampled_differently_is_two_requests(beside: Beside) -> None:
    [(first, then)] = draw_relays(beside.loaded.shape, 1, seed=6)
    with stopping_often(beside, [first]):
        for other in (replace(then.sampling, temperature=1.0), replace(then.sampling, lines=False)):
            [(_, second)] = beside.our_relays([(first, replace(then, sampling=other, least=0.0))])
            assert second is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kv_transfer_config": object()}, "KV connector"),
        ({"speculative_config": object()}, "speculative decoding"),
        ({"lora_config": object()}, "LoRA"),
        ({"model_config": SimpleNamespace(enable_prompt_embeds=True)}, "prompt embeddings"),
    ],
)
def test_what_would_be_silently_wrong_ends_the_start(changed: dict[str, Any], says: str) -> None:
    from correction.engines.vllm_plugin.worker import _check_config

    parallel = SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1, use_ubatching=False)
    plain: dict[str, Any] = {
        "parallel_config": parallel,
        "model_config": SimpleNamespace(enable_prompt_embeds=False),
        "kv_transfer_config": None,
        "speculative_config": None,
        "lora_config": None,
    }
    _check_config(SimpleNamespace(**plain), torch.device("cpu"))
    with pytest.raises(RuntimeError, match=says):
        _check_config(SimpleNamespace(**plain | changed), torch.device("cpu"))


def test_patched_passes_that_are_given_up_in_mid_flight_spoil_no_other(beside: Beside) -> None:
    requests = [replace(r, sampling=Sampling(8, 2)) for r in draw(beside.loaded.shape, 60, seed=5)]

    async def give_some_up() -> list[Any]:
        tasks = [asyncio.create_task(beside.vllm.run(request)) for request in requests]
        for number, task in enumerate(tasks):
            if number % 2:
                await asyncio.sleep(0.003)
                task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = beside.runner.run(give_some_up())
    kept = requests[::2]
    assert_agree(kept, results[::2], beside.theirs(kept))
    assert any(isinstance(result, asyncio.CancelledError) for result in results[1::2])
    engine = beside.vllm._backend._engine
    assert engine.output_processor.get_num_unfinished_requests() == 0


def test_relays_that_are_given_up_leave_nothing_behind(beside: Beside) -> None:
    relays = draw_relays(beside.loaded.shape, 40, seed=3)

    async def give_up() -> list[Any]:
        tasks = [asyncio.create_task(beside.vllm.relay(*relay)) for relay in relays]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.004)
            if number % 2:
                task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with stopping_often(beside, [first for first, _ in relays]):
        results = beside.runner.run(give_up())
        kept = [first for first, _ in relays[::2]]
        assert_agree(kept, [first for first, _ in results[::2]], beside.theirs(kept))
    engine = beside.vllm._backend._engine
    assert engine.output_processor.get_num_unfinished_requests() == 0
    open_, known = beside.runner.run(engine.collective_rpc("open_sites"))[0]
    assert (open_, known) == (0, 0)


def test_both_hops_of_a_question_are_one_request(beside: Beside, demo_profile: Profile) -> None:
    question = next(q.ask() for q in demo_suite()["test"])
    numbers = beside.vllm._backend._numbers  # of requests
    before = next(numbers)
    corrector = Corrector(beside.vllm.loaded, beside.vllm, demo_profile)
    answer = beside.runner.run(corrector.answer(question))
    sent = next(numbers) - before - 1
    assert answer.corrected
    assert (answer.usage.passes, sent) == (2, 1)


def test_a_grid_is_a_patched_pass_a_cell(beside: Beside) -> None:
    states = torch.randn(2, 3, beside.loaded.shape.width, generator=torch.Generator().manual_seed(0))
    request = GridPass([(5, 6, 7, 8), (9, 10, 11)], [1, -1], states, [0, 2, 5], max_tokens=2)
    ours, theirs = (beside.runner.run(engine.grid(request)) for engine in (beside.vllm, beside.hf))
    assert torch.equal(ours.tokens, theirs.tokens)
    torch.testing.assert_close(ours.logprobs, theirs.logprobs, atol=1e-3, rtol=0)


def test_the_sites_of_a_plain_pass_are_none() -> None:
    assert to_text(Pass((1, 2))) is None
    assert to_text(Pass((1, 2), (Capture(1),))) == '{"captures": [[1, -1, false]]}'
