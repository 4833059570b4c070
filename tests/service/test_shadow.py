"""Shadow mode: plain answers are served, corrections are only logged."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import httpx
import pytest

from correction.answers import Answer
from service import shadow as shadow_module
from service.schemas import AnswerRequest
from service.shadow import Shadow

pytestmark = pytest.mark.anyio


async def ask(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.post("/v1/answer", json=fields)).json()
    for _ in range(20):
        await asyncio.sleep(0)
    return answer


def records(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "service.shadow"]


async def test_the_plain_answer_is_served_and_the_correction_logged(connect, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with connect(shadow=True) as client:
        response = await client.post("/v1/answer", json={"question": "Q"})
        await ask(client, question="one hop")
        metrics = (await client.get("/metrics")).text
    assert (response.json()["answer"], response.json()["strategy"]) == ("direct to Q", "direct")
    assert (response.json()["corrected"], response.json()["patch"]) == (False, None)
    first, second = records(caplog)
    assert first["request_id"] == response.headers["X-Request-ID"]
    assert (first["agrees"], first["corrected"], first["fallback"], first["confidence"]) == (False, True, None, 0.8)
    assert (second["agrees"], second["corrected"]) == (True, False)
    assert second["fallback"] == "no two hops can be read from the question"
    assert second["seconds"] >= 0
    assert dict(re.findall(r'hopfix_shadow_total\{outcome="(\w+)"\} (\S+)', metrics)) == {
        "differs": "1.0",
        "uncorrected": "1.0",
    }


@pytest.mark.parametrize("allowed", [False, True])
async def test_texts_are_logged_only_if_that_is_allowed(connect, caplog, allowed: bool) -> None:
    caplog.set_level(logging.INFO)
    async with connect(shadow=True, log_questions=allowed) as client:
        await ask(client, question="Q?")
    [record] = records(caplog)
    texts = {name: record.get(name) for name in ("question", "served", "answer")}
    if allowed:
        assert texts == {"question": "Q?", "served": "direct to Q?", "answer": "answer to Q?"}
    else:
        assert set(texts.values()) == {None}
        assert "Q?" not in caplog.text


async def test_strategies_that_are_asked_for_by_name_are_served(connect, corrector) -> None:
    async with connect(shadow=True) as client:
        assert (await ask(client, question="Q", strategy="two_step"))["answer"] == "answer to Q"
    assert len(corrector.asked) == 1


async def test_layers_are_those_of_the_correction_and_wrong_ones_are_refused(connect, corrector) -> None:
    async with connect(shadow=True) as client:
        assert (await ask(client, question="Q", source_layer=4))["strategy"] == "direct"
        assert (await client.post("/v1/answer", json={"question": "Q", "source_layer": 99})).status_code == 400
    (_, served, none), (_, shadowed, choice) = corrector.asked
    assert (served, none, shadowed, choice.source_layer) == ("direct", None, "deployed", 4)


async def test_a_correction_that_fails_is_counted_and_nobody_else_notices(caplog) -> None:
    async def fails(request: AnswerRequest) -> Answer:
        raise RuntimeError("secret detail")

    outcomes: list[str] = []
    shadow = Shadow(fails, outcomes.append, deadline=1, texts=False)
    shadow.take(AnswerRequest(question="Q"), "served", "id")
    await asyncio.sleep(0.01)
    assert outcomes == ["failed"]
    assert "secret detail" not in caplog.text


async def test_a_few_at_once_and_what_there_is_no_time_for_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    running = 0

    async def waits(request: AnswerRequest) -> Answer:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1
        raise AssertionError

    monkeypatch.setattr(shadow_module, "BACKLOG", 10)
    outcomes: list[str] = []
    shadow = Shadow(waits, outcomes.append, deadline=60, texts=False)
    for _ in range(12):
        shadow.take(AnswerRequest(question="Q"), "served", "id")
    await asyncio.sleep(0.01)
    assert (running, outcomes) == (shadow_module.AT_ONCE, ["dropped", "dropped"])
    await shadow.close()
    assert (running, outcomes) == (0, ["dropped", "dropped"])
