"""Alive at once, ready when proven, and numbers for operators."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from correction.errors import HopfixError, ModelNotFound
from correction.profile import Replay
from service import app as app_module
from service.app import create_app
from service.settings import Settings

pytestmark = pytest.mark.anyio


async def test_ready_after_the_profiles_questions_are_answered_as_expected(connect, corrector, profile) -> None:
    corrector.profile = profile
    async with connect() as client:
        assert (await client.get("/ready")).json() == {
            "status": "ready",
            "model": "stand-in",
            "engine": "stand-in",
            "trouble": None,
        }
    assert [question.text for question, _, _ in corrector.asked] == ["Q"]


async def test_never_ready_when_one_is_not(connect, corrector) -> None:
    replay = Replay("Q", "The country of X is", "The capital of {} is", "something else")
    corrector.profile = SimpleNamespace(name="stand-in@0", replay=(replay,))
    async with connect() as client:
        ready = await client.get("/ready")
        answer = await client.post("/v1/answer", json={"question": "Q"})
        assert (await client.get("/health")).status_code == 200
    assert ready.status_code == answer.status_code == 503
    assert "1 of the profile's 1 questions" in ready.json()["error"]["message"]
    assert "expected 'something else'" in ready.json()["error"]["message"]
    assert ready.headers["Retry-After"] == "1"


async def test_alive_while_the_model_loads(monkeypatch: pytest.MonkeyPatch, corrector) -> None:
    loaded = asyncio.Event()
    closed = asyncio.Event()

    async def load(settings: Settings) -> object:
        await loaded.wait()
        return corrector

    async def close() -> None:
        closed.set()

    monkeypatch.setattr(app_module, "load", load)
    corrector.engine.close = close
    app = create_app(Settings.read())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hopfix") as client,
    ):
        assert (await client.get("/health")).json() == {"status": "ok"}
        waiting = await client.get("/ready")
        assert waiting.status_code == 503
        assert waiting.json()["error"]["code"] == "not_ready"
        assert (await client.post("/v1/answer", json={"question": "Q"})).status_code == 503
        loaded.set()
        await asyncio.sleep(0.01)
        assert (await client.get("/ready")).status_code == 200
        assert not closed.is_set()
    assert closed.is_set()


async def test_a_model_that_cannot_be_loaded_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def load(settings: Settings) -> object:
        raise ModelNotFound("cannot load the model 'nope'", hint="give a folder")

    failures: list[HopfixError] = []
    monkeypatch.setattr(app_module, "load", load)
    app = create_app(Settings.read(), on_failed_load=failures.append)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hopfix") as client,
    ):
        await asyncio.sleep(0)
        response = await client.get("/ready")
    assert response.status_code == 503
    assert "cannot load the model 'nope'" in response.json()["error"]["message"]
    assert [type(failure) for failure in failures] == [ModelNotFound]


async def test_an_engine_with_trouble_that_answers_all_the_same_is_ready_and_says_so(connect, corrector) -> None:
    async with connect() as client:
        corrector.engine.trouble = "vLLM died"
        ready = await client.get("/ready")
        metrics = (await client.get("/metrics")).text
    assert (ready.status_code, ready.json()["trouble"]) == (200, "vLLM died")
    assert "hopfix_engine_up 0.0" in metrics
    assert "hopfix_ready 1.0" in metrics


async def test_an_engine_that_cannot_answer_is_not_ready_until_it_can(connect, corrector) -> None:
    async with connect() as client:
        vars(corrector.engine).update(trouble="vLLM died", down=True)
        ready = await client.get("/ready")
        assert "hopfix_ready 0.0" in (await client.get("/metrics")).text
        vars(corrector.engine).update(trouble=None, down=False)
        assert (await client.get("/ready")).status_code == 200
    assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
    assert "vLLM died" in ready.json()["error"]["message"]


async def test_metrics_say_how_the_engine_fared(connect, corrector) -> None:
    async with connect() as client:
        vars(corrector.engine).update(restarts=2, standins={"down": 5, "slow": 1})
        text = (await client.get("/metrics")).text
    for line in (
        "hopfix_engine_up 1.0",
        "hopfix_engine_restarts_total 2.0",
        'hopfix_standins_total{reason="down"} 5.0',
        'hopfix_standins_total{reason="slow"} 1.0',
    ):
        assert line in text


async def test_metrics_count_requests_and_answers(connect) -> None:
    async with connect() as client:
        await client.post("/v1/answer", json=[{"question": "A"}, {"question": "one hop"}, {"question": "engine down"}])
        await client.post("/v1/answer", json={"question": "B", "strategy": "two_step"})
        await client.get("/nowhere")
        text = (await client.get("/metrics")).text
    for line in (
        'hopfix_requests_total{route="/v1/answer",status="200"} 2.0',
        'hopfix_requests_total{route="unmatched",status="404"} 1.0',
        'hopfix_request_seconds_count{route="/v1/answer"} 2.0',
        'hopfix_answers_total{outcome="corrected",strategy="deployed"} 1.0',
        'hopfix_answers_total{outcome="corrected",strategy="two_step"} 1.0',
        'hopfix_answers_total{outcome="fallback",strategy="direct"} 1.0',
        'hopfix_fallbacks_total{reason="not_two_hops"} 1.0',
        'hopfix_failures_total{code="engine_unavailable"} 1.0',
        "hopfix_questions_in_flight 0.0",
        "hopfix_ready 1.0",
    ):
        assert line in text


async def test_an_engine_that_goes_away_while_the_profile_is_replayed_is_waited_for(
    connect, corrector, profile
) -> None:
    corrector.profile = profile
    corrector.engine.down = True
    async with connect() as client:
        assert (await client.get("/ready")).status_code == 503
        corrector.engine.down = False
        await asyncio.sleep(1.1)
        assert (await client.get("/ready")).status_code == 200
