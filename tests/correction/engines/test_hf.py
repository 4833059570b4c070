"""The default engine: what arrives together is batched, and no pass suffers from another."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import EngineUnavailable, InvalidInput, PromptTooLong
from correction.forward import Batch
from correction.models import LoadedModel
from correction.passes import Capture, Pass, PassResult, Patch, Sampling, Step
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


ENDLESS = Sampling(200, 0, lines=False, temperature=3.0, seed=1)


@pytest.fixture
def endless(demo: LoadedModel) -> LoadedModel:
    """The demo model, which nothing but the length ends where lines do not."""
    loaded = replace(demo)
    vars(loaded)["end_tokens"] = frozenset()
    return loaded


def test_tokens_are_heard_in_order_as_they_come_and_the_stop_is_not(demo: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(demo)
        heard: list[Step] = []
        pass_ = Pass(prompt(demo, "The country where Kruger National Park is located is"), sampling=Sampling(8, 2))
        running = asyncio.create_task(engine.run(pass_, heard.append))
        result, other = await asyncio.gather(running, engine.run(pass_))
        await engine.close()
        assert result.finish_reason == "stop"
        assert [step.token for step in heard] == [*result.tokens]
        assert [step.logprob for step in heard] == [*result.logprobs]
        assert [step.top for step in heard] == [*result.steps[:-1]]
        assert other.tokens == result.tokens

    asyncio.run(go())


def test_a_pass_is_answered_when_it_ends_not_when_its_batch_does(endless: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(endless)
        said: list[Step] = []
        long = asyncio.create_task(engine.run(Pass((5, 6), sampling=replace(ENDLESS, max_tokens=32)), said.append))
        await engine.run(Pass((5, 6), sampling=Sampling(1)))
        assert list(engine.batch_sizes) == [2]
        assert not long.done()
        assert len(said) < len((await long).tokens)
        await engine.close()

    asyncio.run(go())


def test_few_tokens_do_not_wait_for_many(endless: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(endless)
        long = [asyncio.create_task(engine.run(Pass((5, n), sampling=ENDLESS))) for n in range(20, 40)]
        await asyncio.sleep(0.01)
        for _ in range(3):
            short = await engine.run(Pass(prompt(endless, "The capital of France is")))
            assert short.text == "Paris"
        assert not any(task.done() for task in long)
        assert all(len(result.tokens) == 200 for result in await asyncio.gather(*long))
        assert engine.batches == {20: 1, 1: 3}
        await engine.close()

    asyncio.run(go())


def test_a_long_pass_need_not_wait_for_the_end_of_another(endless: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(endless)
        heard: list[asyncio.Event] = [asyncio.Event() for _ in range(3)]
        tasks = []
        for event in heard:
            tasks.append(asyncio.create_task(engine.run(Pass((5, 6), sampling=ENDLESS), lambda _, e=event: e.set())))
            await event.wait()
        assert not any(task.done() for task in tasks)
        assert len({(await task).tokens for task in tasks}) == 1
        await engine.close()

    asyncio.run(go())


def test_a_cancelled_pass_leaves_the_batch_on_its_way(endless: LoadedModel) -> None:
    async def go() -> None:
        engine = HFEngine(endless)
        heard: list[Step] = []
        begun = asyncio.Event()

        def hear(step: Step) -> None:
            heard.append(step)
            begun.set()

        task = asyncio.create_task(engine.run(Pass((5, 6), sampling=ENDLESS), hear))
        beside = asyncio.create_task(engine.run(Pass((5, 6), sampling=replace(ENDLESS, max_tokens=150))))
        await begun.wait()
        task.cancel()
        told = len(heard)
        assert len((await beside).tokens) == 150
        assert len(heard) == told < 150
        await engine.close()

    asyncio.run(go())


def test_what_ends_the_loop_does_not_end_the_engine(endless: LoadedModel) -> None:
    engine = HFEngine(endless)

    async def interrupted() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(engine.run(Pass((5, 6), sampling=ENDLESS)), 0.02)

    async def again() -> PassResult:
        try:
            return await engine.run(Pass(prompt(endless, "The capital of France is"), sampling=Sampling(40)))
        finally:
            await engine.close()

    for _ in range(4):
        asyncio.run(interrupted())
    assert asyncio.run(again()).text == "Paris"


def test_closing_fails_what_runs_and_what_waits(endless: LoadedModel) -> None:
    async def go() -> list[PassResult | BaseException]:
        engine = HFEngine(endless, max_rows=1)
        tasks = [asyncio.create_task(engine.run(Pass((5, 6), sampling=ENDLESS))) for _ in range(8)]
        await asyncio.sleep(0.02)
        await engine.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(error, EngineUnavailable) for error in asyncio.run(go()))


def test_what_does_not_fit_is_tried_in_halves_and_nothing_is_heard_twice(
    endless: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Batch.step

    def cramped(batch: Batch) -> list[int]:
        if len(batch.rows) > 2 and len(batch.rows[0].tokens) == 5:
            raise MemoryError("no room")
        return step(batch)

    monkeypatch.setattr(Batch, "step", cramped)

    async def go() -> None:
        engine = HFEngine(endless)
        heard: list[list[Step]] = [[] for _ in range(5)]
        unseeded = replace(ENDLESS, max_tokens=20, seed=None)
        passes = (engine.run(Pass((5, n + 9), sampling=unseeded), said.append) for n, said in enumerate(heard))
        results = await asyncio.gather(*passes)
        assert [[step.token for step in said] for said in heard] == [[*result.tokens] for result in results]
        assert list(engine.batch_sizes) == [5, 2, 3, 1, 2]
        await engine.close()

    asyncio.run(go())


def test_what_is_asked_of_the_prompt_comes_with_the_result(demo: LoadedModel) -> None:
    ids = prompt(demo, "The capital of France is")
    asking = Sampling(0, 0, prompt_logprobs=2)
    (result,) = Asked(demo).run([Pass(ids, sampling=asking)])
    with torch.inference_mode():
        own = demo.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    assert [step.token for step in result.prompt] == [*ids[1:]]
    for position, step in enumerate(result.prompt):
        assert step.logprob == pytest.approx(own[position, step.token].item(), abs=1e-4)
        assert [best.token for best in step.top] == own[position].topk(2).indices.tolist()
    assert (result.tokens, result.finish_reason) == ((), "length")
