"""A separate vLLM server gives what the custom forward gives. One server serves the file; the last test kills it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
import torch

from correction.corrector import Corrector
from correction.engines import HFEngine, SplitEngine, VLLMEngine
from correction.engines.vllm import ServerVLLM
from correction.engines.vllm.server import events
from correction.errors import EngineUnavailable, InvalidInput
from correction.mappings import MAPPINGS
from correction.models import LoadedModel, demo_folder
from correction.passes import Capture, Heard, Pass, Patch, Sampling
from correction.prompts import Prompts
from eval.demo_world.suite import demo_suite
from tests.correction.engines.test_vllm import COUNTRIES, PARKS, assert_same, together
from tests.vllm_passes import assert_agree, assert_heard, continued, endless, heard
from tests.vllm_server import KEY, VLLMServer, engine_of, free_port, midway, missing

NAMES = ("demo", str(demo_folder()))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def hf(demo: LoadedModel, runner: asyncio.Runner) -> Iterator[HFEngine]:
    engine = HFEngine(demo)
    yield engine
    runner.run(engine.close())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    if reason := missing():
        pytest.skip(reason)
    server = VLLMServer(tmp_path_factory.mktemp("vllm-server"))
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def backend(url: str, demo: LoadedModel, key: str | None = KEY, names: tuple[str, ...] = NAMES) -> ServerVLLM:
    return ServerVLLM(url, model=names, vocabulary=demo.shape.vocabulary, key=key)


@pytest.fixture(scope="module")
def vllm(server: VLLMServer, demo: LoadedModel, runner: asyncio.Runner) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(demo, backend(server.url, demo), patches=True)
    runner.run(engine.start())
    yield engine
    runner.run(engine.close())


@pytest.fixture(scope="module")
def prompts(demo: LoadedModel) -> list[tuple[int, ...]]:
    texts = [f"The country where {park} National Park is located is" for park in PARKS]
    texts += [f"The currency of {country} is" for country in COUNTRIES]
    encode = Prompts(demo.tokenizer).encode
    return [encode(text) for text in texts]


async def start_and_close(backend: ServerVLLM) -> None:
    try:
        await backend.start()
    finally:
        await backend.close()


# -- without vLLM -----------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_named(demo):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EngineUnavailable, match=url) as caught:
        asyncio.run(start_and_close(backend(url, demo)))
    assert caught.value.retryable


def test_a_server_that_is_no_vllm_is_not_taken_for_one(demo):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        serving = Thread(target=other.serve_forever)
        serving.start()
        try:
            with pytest.raises(EngineUnavailable, match=r"/v1/models is not vLLM's"):
                asyncio.run(start_and_close(backend(f"http://127.0.0.1:{other.server_port}", demo)))
        finally:
            other.shutdown()
            serving.join()


def test_a_stream_is_cut_into_lines_by_newlines_alone():
    """A text has other line breaks as they are, and a part of a stream may end anywhere, within a character too."""
    sent = (
        'data: {"text": "a\u2028b\x85c"}\n\n: still there\r\n\r\ndata: {"text": "é"}\r\n\r\ndata: [DONE]\n\n'.encode()
    )

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(sent), 3):
            yield sent[at : at + 3]

    async def read() -> list[str]:
        return [data.decode() async for data in events(parts())]

    assert asyncio.run(read()) == ['{"text": "a\u2028b\x85c"}', '{"text": "é"}']


# -- with a server ----------------------------------------------------------------------------------------------------


@pytest.mark.vllm
def test_both_give_the_same(vllm, hf, runner, prompts):
    passes = [Pass(prompt) for prompt in prompts]
    theirs = runner.run(together(hf, passes))
    assert_same([runner.run(vllm.run(request)) for request in passes], theirs)
    assert_same(runner.run(together(vllm, passes)), theirs)


@pytest.mark.vllm
@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(1), Sampling(3, 0), Sampling(2, 20)])
def test_both_read_sampling_alike(vllm, hf, runner, prompts, sampling):
    passes = [Pass(prompt, sampling=sampling) for prompt in prompts[::8]]
    assert_same(runner.run(together(vllm, passes)), runner.run(together(hf, passes)))


@pytest.mark.vllm
@pytest.mark.parametrize("sampling", [Sampling(8), Sampling(40, 2, lines=False), Sampling(0), Sampling(8, 0, seed=3)])
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
    read = runner.run(hf.run(continued(passes[0], again))).prompt[len(prompts[0]) - 1 :]
    assert [step.logprob for step in read] == pytest.approx(again.logprobs, abs=1e-3)


@pytest.mark.vllm
def test_both_read_a_prompt_alike_also_again(vllm, hf, runner, prompts):
    """Again: when vLLM has its keys and values, but not what was said of it."""
    long = sum(prompts, ())[:150]
    passes = [Pass(prompt, sampling=Sampling(2, 1, prompt_logprobs=2)) for prompt in (*prompts[:4], long, (5,))]
    passes += [Pass(long, sampling=Sampling(0, 0, prompt_logprobs=0))]
    theirs = runner.run(together(hf, passes))
    for _ in range(2):
        assert_agree(passes, runner.run(together(vllm, passes)), theirs)
    steps, result = runner.run(heard(vllm, passes[4]))
    assert_heard(steps, result)
    assert_agree(passes[4:5], [result], theirs[4:5])


@pytest.mark.vllm
def test_what_is_patched_is_heard_when_all_of_it_is_there(vllm, hf, runner, prompts):
    request = Pass(prompts[0], patches=(Patch(2, -1, torch.ones(vllm.loaded.shape.width)),))
    steps, result = runner.run(heard(vllm, request))
    assert_heard(steps, result)
    assert_agree([request], [result], [runner.run(hf.run(request))])


@pytest.mark.vllm
def test_what_is_patched_and_read_travels_both_ways(vllm, hf, runner, prompts):
    read = [Pass(prompt, captures=(Capture(3), Capture(6, follow=True))) for prompt in prompts[:8]]
    theirs, ours = (runner.run(together(engine, read)) for engine in (hf, vllm))
    for a, b in zip(ours, theirs, strict=True):
        assert [states.shape for states in a.states] == [states.shape for states in b.states]
        assert all(torch.allclose(*pair, atol=1e-3) for pair in zip(a.states, b.states, strict=True))
    patched = [
        Pass(
            prompt,
            patches=(Patch(1, -2, result.states[0][0], MAPPINGS["norm_matched"]), Patch(0, -1, result.states[1][0])),
        )
        for prompt, result in zip(prompts[8:], theirs, strict=True)
    ]
    assert_same(runner.run(together(vllm, patched)), runner.run(together(hf, patched)))
    assert [result.patched for result in runner.run(together(vllm, patched))] == [2] * 8


@pytest.mark.vllm
def test_both_hops_travel_in_one_request(vllm, hf, runner, demo, demo_profile):
    questions = [question.ask() for question in demo_suite()["test"][:20]]
    ours, theirs = (runner.run(Corrector(demo, engine, demo_profile).answer_all(questions)) for engine in (vllm, hf))
    assert [(a.answer, a.corrected, a.usage) for a in ours] == [(a.answer, a.corrected, a.usage) for a in theirs]
    assert all("hop1" not in a.timings_ms for a in ours if a.usage.passes == 2)  # not a trip of its own


def counted(server: VLLMServer, name: str) -> float:
    numbers = re.findall(rf"^vllm:{name}\S+ (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)
    return sum(map(float, numbers))


@pytest.mark.vllm
def test_a_stream_that_nobody_hears_any_more_is_aborted_there(vllm, server, runner, prompts, monkeypatch):
    request, generated = endless(vllm, prompts[0], monkeypatch), counted(server, "generation_tokens_total")

    async def cancel() -> None:
        engine = engine_of(server.process.pid)
        try:
            task = await midway(engine, lambda hear: vllm.run(request, hear))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            os.kill(engine, signal.SIGCONT)

    runner.run(cancel())
    deadline = time.monotonic() + 10
    while counted(server, "num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (counted(server, "generation_tokens_total") - generated) % request.sampling.max_tokens > 0  # some were not


@pytest.mark.vllm
def test_a_cancelled_pass_is_aborted_there(vllm, server, runner, prompts):
    def finished() -> float:
        """Requests that vLLM ran to their end."""
        return counted(server, "request_success_total")

    async def cancel() -> None:
        engine = engine_of(server.process.pid)
        os.kill(engine, signal.SIGSTOP)  # the pass must not end before it is cancelled
        try:
            task = asyncio.create_task(vllm.run(Pass(prompts[0])))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            os.kill(engine, signal.SIGCONT)

    before = finished()
    runner.run(cancel())
    assert runner.run(vllm.run(Pass(prompts[1]))).engine == "vllm"
    deadline = time.monotonic() + 10
    while finished() == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert finished() == before + 1


@pytest.mark.vllm
def test_what_vllm_refuses_is_invalid_input_in_its_words(vllm, runner, prompts):
    with pytest.raises(InvalidInput, match="greater than max allowed: 20"):  # --max-logprobs, as the server was started
        runner.run(vllm.run(Pass(prompts[0], sampling=Sampling(2, 30))))
    with pytest.raises(InvalidInput, match="greater than max allowed: 20"):  # in a stream its status is 200
        runner.run(heard(vllm, Pass(prompts[0], sampling=Sampling(2, 30))))
    with pytest.raises(InvalidInput, match="no log-probabilities of the prompt"):
        runner.run(vllm.run(Pass(prompts[0], (Capture(1),), sampling=Sampling(2, prompt_logprobs=0))))
    assert vllm.trouble is None


@pytest.mark.vllm
def test_the_custom_forward_runs_what_vllm_refuses(vllm, hf, runner, prompts):
    split = SplitEngine(hf, vllm)
    result = runner.run(split.run(Pass(prompts[0], sampling=Sampling(2, 30))))
    assert (result.engine, len(result.alternatives), split.standins) == ("hf", 30, {"refused": 1})
    assert (runner.run(split.run(Pass(prompts[0]))).engine, split.trouble) == ("vllm", None)


@pytest.mark.vllm
def test_a_wrong_key_says_which_setting_to_change(server, demo):
    with pytest.raises(EngineUnavailable, match="HOPFIX_VLLM_KEY"):
        asyncio.run(start_and_close(backend(server.url, demo, key="wrong")))


@pytest.mark.vllm
def test_a_server_of_another_model_is_pointed_out(server, demo, caplog):
    asyncio.run(start_and_close(backend(server.url, demo, names=("another",))))
    assert "is that the same model as another?" in caplog.text
    caplog.clear()
    asyncio.run(start_and_close(backend(server.url + "/v1/", demo)))
    assert not caplog.records
    larger = ServerVLLM(server.url, model=NAMES, vocabulary=10**6, key=KEY)
    with pytest.raises(EngineUnavailable, match="cannot be used for this model"):
        asyncio.run(start_and_close(larger))


@pytest.mark.vllm
def test_a_killed_server_fails_what_is_in_flight_and_is_noticed(vllm, server, hf, runner, prompts, monkeypatch):
    split = SplitEngine(hf, vllm)
    request = endless(vllm, prompts[0], monkeypatch)
    spoken: list[int] = []

    def ask(hear: Heard) -> Awaitable[object]:
        spoken.clear()
        return vllm.run(request, lambda step: (spoken.append(step.token), hear(step)))

    async def kill() -> list[object]:
        in_flight = [await midway(engine_of(server.process.pid), ask)]  # so that none ends before the kill
        in_flight += [asyncio.create_task(vllm.run(Pass(prompt))) for prompt in prompts]
        await asyncio.sleep(0.5)
        server.kill_engine()
        gone = await asyncio.gather(*in_flight, return_exceptions=True)
        async with asyncio.timeout(30):
            while vllm.trouble is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return gone

    gone = runner.run(kill())
    assert {type(error) for error in gone} == {EngineUnavailable}
    assert 0 < len(spoken) < request.sampling.max_tokens
    assert vllm.down
    assert runner.run(split.run(Pass(prompts[0]))).engine == "hf"
    assert split.standins == {"down": 1}
