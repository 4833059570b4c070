"""GET /v1/profile and POST /v1/profile/reload, on the demo model."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.models import LoadedModel
from correction.profile import Profile
from service.schemas import ProfileObject

pytestmark = pytest.mark.anyio


async def test_it_shows_what_is_deployed(connect_demo, demo_profile: Profile) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    async with connect_demo() as client:
        response = await client.get("/v1/profile")
    shown = ProfileObject.model_validate(response.json())
    assert (shown.name, shown.model, shown.strategy) == (demo_profile.name, "demo", "deployed")
    assert shown.choice.model_dump() == asdict(demo_profile.choice)
    assert shown.thresholds.model_dump() == asdict(demo_profile.thresholds)
    assert shown.layers == 6
    assert shown.evidence["questions"] == demo_profile.evidence["questions"]
    assert before <= datetime.fromisoformat(shown.loaded) <= datetime.now(UTC)


async def test_a_model_without_a_profile_has_none_and_says_what_it_uses(demo: LoadedModel) -> None:
    engine = HFEngine(demo)
    shown = ProfileObject.of(Corrector(demo, engine), "demo", "2026-01-01T00:00:00+00:00")
    await engine.close()
    assert (shown.name, shown.choice.mapping, shown.choice.target_layer) == (None, "vocabulary", 0)
    assert (shown.layers, shown.replay, shown.examples) == (6, 0, [])


async def test_its_first_questions_are_shown_as_examples(demo: LoadedModel, demo_profile: Profile) -> None:
    engine = HFEngine(demo)
    shown = ProfileObject.of(Corrector(demo, engine, demo_profile), "demo", "2026-01-01T00:00:00+00:00")
    await engine.close()
    assert (shown.replay, len(shown.examples)) == (20, 5)
    assert shown.examples == [entry.question for entry in demo_profile.replay[:5]]


async def test_evidence_that_is_no_number_is_null(demo: LoadedModel, demo_profile: Profile) -> None:
    engine = HFEngine(demo)
    odd = replace(demo_profile, evidence={"broken": math.nan, "bins": [math.inf]})
    shown = ProfileObject.of(Corrector(demo, engine, odd), "demo", "2026-01-01T00:00:00+00:00")
    await engine.close()
    assert '"evidence":{"broken":null,"bins":[null]}' in shown.model_dump_json()


async def test_only_a_key_lets_in_where_keys_are_set(connect_demo) -> None:
    async with connect_demo(api_key="k") as client:
        for method, path in (("GET", "/v1/profile"), ("POST", "/v1/profile/reload")):
            assert (await client.request(method, path)).status_code == 401
        assert (await client.get("/v1/profile", headers={"Authorization": "Bearer k"})).status_code == 200
