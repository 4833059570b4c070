"""The default engine: what arrives together is batched, and no pass suffers from another."""

from __future__ import annotations

import asyncio
import math

import pytest
import torch

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import EngineUnavailable, InvalidInput, PromptTooLong
from correction.models import LoadedModel
from correction.passes import Capture, Pass, PassResult, Patch, Sampling
from tests.conftest import Asked


def prompt(demo: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(demo.tokenizer(text)["input_ids"])


def test_what_arrives_together_is_one_batch(demo: LoadedModel) -> None:
    async def go() -> list[int]:
        engine = HFEngine(demo)
        texts = ["The capital of France is", "The currency of Japan is"] * 10
        await asyncio.gather(*(engine.run(Pass(prompt(demo, text))) for text in texts))
        await engine.close()
        return list(engine.batch_sizes)

    assert asyncio.run(go()) == [20]


def test_batches_stay_within_rows_and_tokens(demo: LoadedModel) -> None:
    async def go() -> list[int]:
        engine = HFEngine(demo, max_rows=8, max_tokens=100)
        await asyncio.gather(*(engine.run(Pass((5,) * 9, sampling=Sampling(max_tokens=1))) for _ in range(25)))
        await engine.close()
        return list(engine.batch_sizes)

    assert asyncio.run(go()) == [8, 8, 8, 1]


def test_a_bad_pass_does_not_spoil_its_batch_mates(asked: Asked, demo: LoadedModel) -> None:
    ids = prompt(demo, "The capital of France is")
    nan = torch.full((demo.model.config.hidden_size,), float("nan"))

    async def go(corrector: Corrector) -> list[PassResult | BaseException]:
        return await asyncio.gather(
            corrector.engine.run(Pass(ids)),
            corrector.engine.run(Pass(ids, patches=(Patch(1, 0, nan),))),
            corrector.engine.run(Pass(ids)),
            return_exceptions=True,
        )

    good, bad, also_good = asked(go)
    assert good.text == also_good.text == "Paris"
    assert isinstance(bad, InvalidInput)
    assert "not finite" in str(bad)


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (Pass(()), InvalidInput, "empty"),
        (Pass((5,) * 300), PromptTooLong, "context is 256"),
        (Pass((5, 6), (Capture(99),)), InvalidInput, "layer 99 is out of range: the model has layers 0 to"),
        (Pass((5, 6), (Capture(0, 2),)), InvalidInput, "position 2 is out of range"),
        (Pass((5, 6), (Capture(0, -3),)), InvalidInput, "position -3 is out of range"),
        (Pass((5, 6), (Capture(0, 0, follow=True),)), InvalidInput, "last position"),
        (Pass((5, 10**6)), InvalidInput, "token"),
        (Pass((5, 6), patches=(Patch(0, 0, torch.zeros(3)),)), InvalidInput, "width"),
        (Pass((5, 6), sampling=Sampling(-1)), InvalidInput, "max_tokens is -1"),
        (Pass((5, 6), sampling=Sampling(temperature=math.nan)), InvalidInput, "temperature is nan"),
        (Pass((5, 6), sampling=Sampling(temperature=-0.1)), InvalidInput, "temperature is -0.1"),
        (Pass((5, 6), sampling=Sampling(top_p=0.0)), InvalidInput, "top_p is 0.0"),
        (Pass((5, 6), sampling=Sampling(top_p=1.1)), InvalidInput, "top_p is 1.1"),
        (Pass((5, 6), sampling=Sampling(seed=2**63)), InvalidInput, "64 bits"),
        (Pass((5, 6), sampling=Sampling(prompt_logprobs=-1)), InvalidInput, "prompt_logprobs is -1"),
    ],
)
def test_a_pass_that_cannot_run_is_refused(asked: Asked, request_: Pass, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        asked.run([request_])


def test_a_cancelled_pass_is_dropped(demo: LoadedModel) -> None:
    async def go() -> list[int]:
        engine = HFEngine(demo)
        tasks = [asyncio.create_task(engine.run(Pass(prompt(demo, "The capital of France is")))) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await engine.close()
        assert isinstance(results[1], asyncio.CancelledError)
        assert all(isinstance(results[i], PassResult) for i in (0, 2))
        return list(engine.batch_sizes)

    assert asyncio.run(go()) == [2]


def test_a_closed_engine_says_so(demo: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(demo)
        await engine.close()
        await engine.run(Pass((5, 6)))

    with pytest.raises(EngineUnavailable, match="closed"):
        asyncio.run(go())
