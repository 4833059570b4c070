"""vLLM gives what the custom forward gives, and the engine of both says truly which of them it was.

One start of vLLM serves the whole file; the last tests kill it, and another takes its place. What needs no vLLM runs
everywhere.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from correction.engines.hf import HFEngine
from correction.engines.split import SplitEngine
from correction.engines.vllm import LocalVLLM, Supervised, VLLMEngine, engine_arguments
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied
from correction.models import LoadedModel, load_model
from correction.passes import Capture, Heard, Pass, Patch, Sampling
from correction.prompts import Prompts
from tests.vllm_passes import assert_agree, assert_heard, continued, endless, heard
from tests.vllm_server import midway, missing

# What vLLM 0.32 and the torch it brings do on import, at the start and at the shutdown.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
]

PARKS = ("Kruger", "Yellowstone", "Theth", "Wakhan", "Serengeti", "Banff", "Fuji", "Abisko")
COUNTRIES = ("South Africa", "Albania", "Japan", "Canada", "Kenya", "Norway", "Peru", "Poland")


@pytest.fixture(scope="module")
def wait_until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    async def wait(condition: Callable[[], object], seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    return wait


def local(loaded: LoadedModel) -> LocalVLLM:
    return LocalVLLM(engine_arguments(loaded, on_cpu=True, alone=False, patches=False), on_cpu=True)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(device="cpu")


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def hf(loaded: LoadedModel, runner: asyncio.Runner) -> Iterator[HFEngine]:
    engine = HFEngine(loaded)
    yield engine
    runner.run(engine.close())


@pytest.fixture(scope="module")
def stdout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm") / "stdout"


@pytest.fixture(scope="module")
def vllm(loaded: LoadedModel, runner: asyncio.Runner, stdout: Path) -> Iterator[VLLMEngine]:
    if reason := missing():
        pytest.skip(reason)
    engine = VLLMEngine(loaded, Supervised(lambda: local(loaded)))
    # As talkative as it can be, with a file for the standard output that its processes inherit.
    saved = os.dup(1)
    with stdout.open("wb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_LOGGING_LEVEL", "INFO")
        environment = dict(os.environ)
        os.dup2(file.fileno(), 1)
        try:
            runner.run(engine.start())
        finally:
            os.dup2(saved, 1)
            os.close(saved)
        assert dict(os.environ) == environment
    yield engine
    runner.run(engine.close())


@pytest.fixture(scope="module")
def prompts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    texts = [f"The country where {park} National Park is located is" for park in PARKS]
    texts += [f"The currency of {country} is" for country in COUNTRIES]
    texts += [f"The currency of the country where {park} National Park is located is" for park in PARKS]
    encode = Prompts(loaded.tokenizer).encode
    return [encode(text) for text in texts]


async def together(engine: HFEngine | VLLMEngine, passes: list[Pass]) -> list:
    return await asyncio.gather(*(engine.run(request) for request in passes))


def assert_same(ours: list, theirs: list) -> None:
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert (a.tokens, a.text, a.finish_reason) == (b.tokens, b.text, b.finish_reason)
        assert (a.prompt_tokens, a.states, a.patched) == (b.prompt_tokens, b.states, b.patched)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)
        assert [(x.token, x.text) for x in a.alternatives] == [(x.token, x.text) for x in b.alternatives]
        ours_first, theirs_first = ([x.probability for x in result.alternatives] for result in (a, b))
        assert ours_first == pytest.approx(theirs_first, abs=1e-4)
        assert (a.engine, b.engine) == ("vllm", "hf")


# -- without vLLM -----------------------------------------------------------------------------------------------------


def test_it_is_named_when_not_installed(loaded, monkeypatch):
    for name in ("vllm", "vllm.engine.arg_utils"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineUnavailable, match=r"make vllm.*hopfix\[vllm\]") as caught:
        asyncio.run(VLLMEngine(loaded, local(loaded)).start())
    assert caught.value.retryable


def test_it_refuses_what_it_cannot_do(loaded, prompts):
    engine, state = VLLMEngine(loaded, local(loaded)), torch.zeros(loaded.model.config.hidden_size)
    for request, error in (
        (Pass(prompts[0], patches=(Patch(0, -1, state),)), PatchNotApplied),
        (Pass(prompts[0], captures=(Capture(1),)), PatchNotApplied),
        (Pass(()), InvalidInput),
        (Pass(prompts[0], sampling=Sampling(loaded.context)), InvalidInput),
        (Pass(prompts[0]), EngineUnavailable),  # it was not started
    ):
        with pytest.raises(error):
            asyncio.run(engine.run(request))


def test_the_custom_forward_stands_in_for_a_vllm_that_is_not_there(loaded, prompts, hf, runner, caplog):
    split = SplitEngine(hf, VLLMEngine(loaded, local(loaded)))
    results = [runner.run(split.run(Pass(prompts[0]))) for _ in range(2)]
    assert [result.engine for result in results] == ["hf", "hf"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert split.standins == {"failed": 2}
    assert "not started" in split.trouble


def test_an_operators_engine_arguments_win(loaded):
    given = {"tensor_parallel_size": 2, "kv_cache_memory_bytes": 2 << 30, "additional_config": {"theirs": 1}}
    arguments = engine_arguments(loaded, on_cpu=True, alone=True, patches=True, given=given)
    assert (arguments["tensor_parallel_size"], arguments["kv_cache_memory_bytes"]) == (2, 2 << 30)
    assert arguments["additional_config"] == {"theirs": 1, "hopfix": {}}
    assert "gpu_memory_utilization" not in arguments


def test_alone_on_a_gpu_vllm_takes_more_of_it(loaded):
    alone, beside = (engine_arguments(loaded, on_cpu=False, alone=a, patches=False) for a in (True, False))
    assert alone["gpu_memory_utilization"] > beside["gpu_memory_utilization"]


def test_engine_arguments_that_vllm_does_not_know_are_named(loaded):
    if reason := missing():
        pytest.skip(reason)
    arguments = engine_arguments(loaded, on_cpu=True, alone=False, patches=False, given={"nonsense": 1})
    with pytest.raises(EngineUnavailable, match="nonsense"):
        asyncio.run(LocalVLLM(arguments, on_cpu=True).start())


# -- with vLLM --------------------------------------------------------------------------------------------------------


@pytest.mark.vllm
def test_both_engines_give_the_same(vllm, hf, runner, prompts):
    passes = [Pass(prompt) for prompt in prompts]
    assert len(passes) == 24
    theirs = runner.run(together(hf, passes))
    assert_same([runner.run(vllm.run(request)) for request in passes], theirs)
    assert_same(runner.run(together(vllm, passes)), theirs)


@pytest.mark.vllm
@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(1), Sampling(3, 0), Sampling(2, 10**6)])
def test_both_engines_read_sampling_alike(vllm, hf, runner, prompts, sampling):
    passes = [Pass(prompt, sampling=sampling) for prompt in prompts[::8]]
    ours, theirs = runner.run(together(vllm, passes)), runner.run(together(hf, passes))
    if sampling.top_logprobs > 100:  # far down the list neighbours may change places
        ours, theirs = (
            [replace(r, steps=tuple(s[:5] for s in r.steps)) for r in results] for results in (ours, theirs)
        )
    assert_same(ours, theirs)


@pytest.mark.vllm
def test_the_stop_rule_is_that_of_the_model(vllm, hf, runner, prompts, monkeypatch):
    plain = runner.run(vllm.run(Pass(prompts[0], sampling=Sampling(8))))
    assert not {*plain.tokens} & vllm.loaded.stop_tokens
    stricter = replace(vllm.loaded)
    last = max(plain.tokens, key=plain.tokens.index)
    vars(stricter)["stop_tokens"] = frozenset({last})
    monkeypatch.setattr(vllm, "loaded", stricter)
    stopped = runner.run(vllm.run(Pass(prompts[0], sampling=Sampling(8))))
    assert stopped.tokens == plain.tokens[: plain.tokens.index(last)]
    assert stopped.finish_reason == "stop"
    # The end of sequence is no exception: only the stop tokens end a pass.
    unending = runner.run(HFEngine(stricter).run(Pass(prompts[1], sampling=Sampling(8))))
    assert_same([runner.run(vllm.run(Pass(prompts[1], sampling=Sampling(8))))], [unending])


@pytest.mark.vllm
@pytest.mark.parametrize("sampling", [Sampling(8), Sampling(40, 2, lines=False), Sampling(0), Sampling(12, 0, seed=3)])
def test_what_is_heard_is_what_is_said(vllm, hf, runner, prompts, sampling):
    passes = [Pass(prompt, sampling=sampling) for prompt in prompts[::4]]

    async def listen() -> list:
        return await asyncio.gather(*(heard(vllm, request) for request in passes))

    listened = runner.run(listen())
    for steps, result in listened:
        assert_heard(steps, result)
    assert_agree(passes, [result for _, result in listened], runner.run(together(vllm, passes)))
    assert_agree(passes, [result for _, result in listened], runner.run(together(hf, passes)))


@pytest.mark.vllm
def test_a_seed_gives_the_same_again_and_log_probabilities_are_the_models_own(vllm, hf, runner, prompts, monkeypatch):
    request = endless(vllm, prompts[0], monkeypatch)  # the model is sure of its answer, and of nothing after it
    passes = [replace(request, sampling=Sampling(24, 3, temperature=1.5, seed=seed)) for seed in (-1, 2)]
    results = runner.run(together(vllm, passes))
    steps, again = runner.run(heard(vllm, passes[0]))
    assert results[0].tokens == again.tokens != results[1].tokens
    assert_heard(steps, again)
    for request, result in zip(passes, results, strict=True):  # whatever was drawn: before the temperature
        read = runner.run(hf.run(continued(request, result))).prompt[len(request.prompt) - 1 :]
        assert [step.logprob for step in read] == pytest.approx(result.logprobs, abs=1e-3)


@pytest.mark.vllm
def test_of_nearly_no_mass_only_the_likeliest_token_is_left(vllm, hf, runner, prompts):
    sampling = Sampling(8, temperature=1.0, top_p=1e-6, seed=5)
    ours = runner.run(together(vllm, [Pass(prompt, sampling=sampling) for prompt in prompts[::8]]))
    greedy = [Pass(prompt, sampling=Sampling(8)) for prompt in prompts[::8]]
    assert_agree(greedy, ours, runner.run(together(hf, greedy)))


@pytest.mark.vllm
def test_both_engines_read_a_prompt_alike_also_again(vllm, hf, runner, prompts):
    """Again: when vLLM has its keys and values, but not what was said of it."""
    long = sum(prompts, ())[:200]  # some blocks of the prefix cache
    passes = [Pass(prompt, sampling=Sampling(1, 1, prompt_logprobs=2)) for prompt in (*prompts[:4], long, (5,))]
    passes += [Pass(long, sampling=Sampling(0, 0, prompt_logprobs=0))]
    theirs = runner.run(together(hf, passes))
    assert [len(result.prompt) for result in theirs] == [len(request.prompt) - 1 for request in passes]
    for _ in range(2):
        assert_agree(passes, runner.run(together(vllm, passes)), theirs)
    steps, result = runner.run(heard(vllm, passes[4]))
    assert_heard(steps, result)
    assert_agree(passes[4:5], [result], theirs[4:5])


@pytest.mark.vllm
@pytest.mark.parametrize("listened", [False, True])
def test_a_cancelled_pass_is_aborted_and_spoils_no_other(vllm, runner, prompts, monkeypatch, listened):
    request, [process] = endless(vllm, prompts[0], monkeypatch), multiprocessing.active_children()
    unfinished = vllm._backend._backend._engine.output_processor.get_num_unfinished_requests

    async def cancel() -> tuple[int, int, str]:
        try:
            if listened:
                task = await midway(process.pid, lambda hear: vllm.run(request, hear))
            else:
                task = asyncio.create_task(vllm.run(request))
                while not unfinished():  # noqa: ASYNC110
                    await asyncio.sleep(0)
            before = unfinished()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            os.kill(process.pid, signal.SIGCONT)
        return before, unfinished(), (await vllm.run(Pass(prompts[0], sampling=Sampling(2)))).engine

    assert runner.run(cancel()) == (1, 0, "vllm")


@pytest.mark.vllm
def test_a_listener_that_fails_ends_its_own_pass_alone(vllm, runner, prompts):
    def deaf(step: object) -> None:
        raise ZeroDivisionError

    async def listen() -> int:
        with pytest.raises(ZeroDivisionError):
            await vllm.run(Pass(prompts[0], sampling=Sampling(64)), deaf)
        return vllm._backend._backend._engine.output_processor.get_num_unfinished_requests()

    assert runner.run(listen()) == 0
    assert runner.run(vllm.run(Pass(prompts[0]))).engine == "vllm"


@pytest.mark.vllm
def test_a_token_that_is_none_is_refused(vllm, runner, prompts):
    with pytest.raises(InvalidInput):
        runner.run(vllm.run(Pass((10**7,))))
    assert runner.run(vllm.run(Pass(prompts[0]))).engine == "vllm"


@pytest.mark.vllm
def test_the_split_engine_routes_by_what_a_pass_needs(vllm, hf, runner, prompts, monkeypatch):
    split = SplitEngine(hf, vllm)
    state = torch.zeros(vllm.loaded.model.config.hidden_size)
    captured = runner.run(split.run(Pass(prompts[0], captures=(Capture(1),))))
    patched = runner.run(split.run(Pass(prompts[0], patches=(Patch(1, -1, state),))))
    plain = runner.run(split.run(Pass(prompts[0])))
    assert (captured.engine, patched.engine, plain.engine) == ("hf", "hf", "vllm")
    assert (len(captured.states), patched.patched) == (1, 1)
    monkeypatch.setattr(vllm, "context", len(prompts[0]))  # a cache too small for the pass
    assert runner.run(split.run(Pass(prompts[0]))).engine == "hf"


@pytest.mark.vllm
def test_a_vllm_of_another_model_is_found_out_at_the_start(vllm, hf, runner, other_model):
    same = VLLMEngine(vllm.loaded, vllm._backend._backend)  # it is started already
    runner.run(SplitEngine(hf, same).start())
    other = HFEngine(load_model(str(other_model), device="cpu"))
    with pytest.raises(InvalidInput, match="another model"):
        runner.run(SplitEngine(other, same).start())
    runner.run(other.close())


@pytest.mark.vllm
def test_a_vllm_without_the_plugin_is_found_out_at_the_start(vllm, loaded, runner):
    engine = VLLMEngine(loaded, vllm._backend._backend, patches=True)
    with pytest.raises(InvalidInput, match="additional-config"):
        runner.run(engine.start())


@pytest.mark.vllm
def test_vllm_and_its_processes_write_nothing_to_standard_output(vllm, stdout):
    assert stdout.read_bytes() == b""


@pytest.mark.vllm
def test_the_custom_forward_stands_in_for_a_slow_vllm_until_that_is_well(vllm, hf, runner, prompts, caplog):
    caplog.set_level("INFO", logger="correction.engines.split")
    split = SplitEngine(hf, vllm, deadline=0.5)
    [process] = multiprocessing.active_children()

    async def stop_and_go_on() -> list[str]:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            said = [(await split.run(Pass(prompts[0]))).engine]
            began = time.monotonic()
            said += [result.engine for result in await asyncio.gather(*(split.run(Pass(p)) for p in prompts))]
            assert time.monotonic() - began < 0.5  # nobody waits for it again
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert "0.5 seconds" in split.trouble
        while split.trouble:
            await split.run(Pass(prompts[0]))
            await asyncio.sleep(0.1)
        return [*said, (await split.run(Pass(prompts[0]))).engine]

    assert runner.run(stop_and_go_on()) == ["hf"] * 25 + ["vllm"]
    assert split.standins.keys() == {"slow"}
    assert split.standins["slow"] >= 25
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.vllm
def test_a_dead_vllm_is_unavailable_and_the_custom_forward_stands_in(vllm, hf, runner, prompts, monkeypatch):
    split = SplitEngine(hf, vllm)
    spoken: list[int] = []
    request = endless(vllm, prompts[0], monkeypatch)

    def ask(hear: Heard) -> Awaitable[list]:
        spoken.clear()
        heard = split.run(request, lambda step: (spoken.append(step.token), hear(step)))
        return asyncio.gather(vllm.run(request), heard, return_exceptions=True)

    async def kill() -> tuple[list, object]:
        [process] = multiprocessing.active_children()
        in_flight = await midway(process.pid, ask)
        process.kill()
        async with asyncio.timeout(30):
            errors = await in_flight
        return errors, await split.run(Pass(prompts[0]))

    errors, result = runner.run(kill())
    assert [(type(error), error.retryable) for error in errors] == [(EngineUnavailable, True)] * 2
    assert "in the middle of an answer" in str(errors[1])
    assert 0 < len(spoken) < request.sampling.max_tokens
    assert result.engine == "hf"
    assert split.standins == {"down": 1}
    with pytest.raises(EngineUnavailable):
        runner.run(vllm.run(Pass(prompts[0])))


@pytest.mark.vllm
def test_another_takes_its_place_and_gives_the_same(vllm, hf, runner, prompts, wait_until):
    assert vllm.down
    runner.run(wait_until(lambda: vllm.trouble is None))
    assert vllm.restarts == 1
    passes = [Pass(prompt) for prompt in prompts]
    assert_same(runner.run(together(vllm, passes)), runner.run(together(hf, passes)))


@pytest.mark.vllm
def test_one_that_dies_with_nothing_asked_of_it_is_replaced_too_and_nothing_is_left_behind(vllm, runner, wait_until):
    """The leftovers are compared between two lives of vLLM in this process: what is imported stays, once."""

    async def die_and_come_back(restarts: int) -> tuple[int, int]:
        [process] = multiprocessing.active_children()
        process.kill()
        await wait_until(lambda: vllm.trouble is not None)
        await wait_until(lambda: vllm.trouble is None)
        assert vllm.restarts == restarts
        return held()

    def held() -> tuple[int, int]:
        """Open files and threads of this process."""
        return len([*Path("/proc/self/fd").iterdir()]), len([*Path("/proc/self/task").iterdir()])

    before = held()
    assert runner.run(die_and_come_back(2)) == before


@pytest.mark.vllm
def test_it_can_be_closed_while_another_is_being_started(vllm, runner, prompts, wait_until):
    async def close() -> float:
        [process] = multiprocessing.active_children()
        process.kill()
        await wait_until(lambda: process.pid not in {p.pid for p in multiprocessing.active_children()})
        await wait_until(multiprocessing.active_children)  # the next one
        began = time.monotonic()
        await vllm.close()
        return time.monotonic() - began

    assert runner.run(close()) < 20
    assert multiprocessing.active_children() == []
    with pytest.raises(EngineUnavailable):
        runner.run(vllm.run(Pass(prompts[0])))
