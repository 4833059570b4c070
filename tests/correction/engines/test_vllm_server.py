"""A separate vLLM server gives what the custom forward gives. One server serves the file; the last test kills it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
import torch

from correction.corrector import Corrector
from correction.engines import HFEngine, SplitEngine, VLLMEngine
from correction.engines.vllm import ServerVLLM
from correction.errors import EngineUnavailable, InvalidInput
from correction.mappings import MAPPINGS
from correction.models import LoadedModel, demo_folder
from correction.passes import Capture, Pass, Patch, Sampling
from correction.prompts import Prompts
from eval.demo_world.suite import demo_suite
from tests.correction.engines.test_vllm import COUNTRIES, PARKS, assert_same, together
from tests.vllm_server import KEY, VLLMServer, engine_of, free_port, missing

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
    encode = Prompts.of(demo.tokenizer).encode
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


@pytest.mark.vllm
def test_a_cancelled_pass_is_aborted_there(vllm, server, runner, prompts):
    def finished() -> float:
        """Requests that vLLM ran to their end."""
        numbers = re.findall(r"^vllm:request_success_total\S+ (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)
        return sum(map(float, numbers))

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
def test_a_killed_server_fails_what_is_in_flight_and_is_noticed(vllm, server, hf, runner, prompts):
    split = SplitEngine(hf, vllm)

    async def kill() -> list[object]:
        os.kill(engine_of(server.process.pid), signal.SIGSTOP)  # so that none ends before the kill
        in_flight = [asyncio.create_task(vllm.run(Pass(prompt))) for prompt in prompts]
        await asyncio.sleep(0.5)
        server.kill_engine()
        gone = await asyncio.gather(*in_flight, return_exceptions=True)
        async with asyncio.timeout(30):
            while vllm.trouble is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return gone

    gone = runner.run(kill())
    assert {type(error) for error in gone} == {EngineUnavailable}
    assert vllm.down
    assert runner.run(split.run(Pass(prompts[0]))).engine == "hf"
    assert split.standins == {"down": 1}
