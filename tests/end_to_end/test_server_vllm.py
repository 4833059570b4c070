"""`hopfix serve --engine hf+vllm`: the same promises, with vLLM running what is unpatched."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Server, start
from tests.end_to_end.test_server import vary

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64") or importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed (make vllm, x86-64 Linux)",
    ),
]


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start(tmp_path_factory.mktemp("vllm-server"), "--engine", "hf+vllm")
    try:
        started.wait_until_ready()
        yield started
    finally:
        assert started.stop() == 0, started.log.read_text()


def test_64_questions_in_one_list_are_all_answered_right(vllm_server: Server, replay: list[dict[str, Any]]) -> None:
    asked = vary(replay, 64)
    answers = httpx.post(f"{vllm_server.url}/v1/answer", json=[r for r, _ in asked], timeout=120).json()
    assert [(a["id"], a["answer"]) for a in answers] == [(r["id"], expected) for r, expected in asked]
    assert all(a["corrected"] for a in answers)


def test_8_clients_at_once_get_patched_and_unpatched_answers(vllm_server: Server, replay: list[dict[str, Any]]) -> None:
    """Every other request is two_step, which vLLM runs."""
    asked = vary(replay, 40)

    async def client_asks(part: list[tuple[dict[str, Any], str]]) -> None:
        async with httpx.AsyncClient(base_url=vllm_server.url, timeout=120) as client:
            for number, (request, expected) in enumerate(part):
                strategy = "two_step" if number % 2 else "deployed"
                answer = (await client.post("/v1/answer", json={**request, "strategy": strategy})).json()
                assert (answer["id"], answer["answer"]) == (request["id"], expected)
                assert answer["corrected"] is (strategy == "deployed")

    async def all_ask() -> None:
        await asyncio.gather(*(client_asks(asked[start::8]) for start in range(8)))

    asyncio.run(all_ask())


def test_the_fallback_says_that_vllm_answered(vllm_server: Server) -> None:
    answer = httpx.post(
        f"{vllm_server.url}/v1/answer", json={"question": "What is the capital of France?"}, timeout=60
    ).json()
    assert (answer["answer"], answer["corrected"]) == ("Paris", False)
    assert (answer["fallback"]["engine"], answer["fallback"]["strategy"]) == ("vllm", "direct")
