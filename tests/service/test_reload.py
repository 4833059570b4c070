"""A profile takes the place of the one in use when it has proven itself, and only then."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.models import LoadedModel, demo_profile_folder
from correction.profile import FILE, Profile
from service.app import create_app
from service.errors import ProfileRefused
from service.settings import Settings
from service.state import State

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A profile's folder that tests may change."""
    return Path(shutil.copytree(demo_profile_folder(), tmp_path / "profile"))


@pytest.fixture
async def service(demo: LoadedModel, folder: Path) -> AsyncIterator[tuple[State, httpx.AsyncClient]]:
    """The demo model, served with the profile of that folder."""
    engine = HFEngine(demo)
    profile = replace(Profile.load(folder), replay=())
    app = create_app(Settings.read(profile=folder, cache_answers=9), Corrector(demo, engine, profile))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hopfix") as client,
    ):
        while not app.state.hopfix.ready:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
        yield app.state.hopfix, client
    await engine.close()


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """The profile's file with something else in it."""
    fields = json.loads((folder / FILE).read_text())
    edit(fields)
    (folder / FILE).write_text(json.dumps(fields))


QUESTION = {"question": "Who runs the company that makes the Walkman?"}


async def test_a_new_profile_is_taken_into_use(service: tuple[State, httpx.AsyncClient], folder: Path) -> None:
    state, client = service
    before = (await client.post("/v1/answer", json=QUESTION)).json()
    assert "cached" in (await client.post("/v1/answer", json=QUESTION)).json()["timings_ms"]
    change(folder, lambda fields: fields.update(strategy="two_step"))
    assert (await client.post("/v1/profile/reload")).json()["strategy"] == "two_step"
    after = (await client.post("/v1/answer", json=QUESTION)).json()
    assert (before["strategy"], after["strategy"], "cached" in after["timings_ms"]) == ("deployed", "two_step", False)
    assert state.metrics.reloads.labels("done")._value.get() == 1


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda fields: fields.update(fingerprint="sha256:" + 64 * "0"), "the profile was made for the model"),
        (lambda fields: fields.update(schema_version=1), "schema version 1"),
        (lambda fields: fields.pop("choice"), "is not a profile"),
        (lambda fields: fields["choice"].update(source_layer=99), "source layer 99 is out of range"),
        (lambda fields: fields["choice"].update(mapping="/etc/passwd"), "is unknown"),
        (lambda fields: fields["replay"][0].update(answer="something else"), "expected 'something else'"),
        (lambda fields: fields["replay"][0].update(question=5, hop1=7), "cannot be used"),
    ],
)
async def test_one_that_is_not_right_is_refused_with_the_reason_and_the_old_one_goes_on(
    service: tuple[State, httpx.AsyncClient], folder: Path, edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    state, client = service
    change(folder, edit)
    before = state.corrector()
    refused = await client.post("/v1/profile/reload")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (409, "profile_refused")
    assert reason in error["message"]
    assert state.corrector() is before
    assert (await client.post("/v1/answer", json=QUESTION)).json()["corrected"]
    assert state.metrics.reloads.labels("refused")._value.get() == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"schema_version": {}}'])
async def test_a_corrupt_one_is_refused(service: tuple[State, httpx.AsyncClient], folder: Path, content: bytes) -> None:
    _, client = service
    (folder / FILE).write_bytes(content)
    refused = await client.post("/v1/profile/reload")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "profile_refused")
    assert "Traceback" not in refused.text
    assert (await client.post("/v1/answer", json=QUESTION)).status_code == 200


async def test_one_that_is_gone_is_refused(service: tuple[State, httpx.AsyncClient], folder: Path) -> None:
    state, _ = service
    shutil.rmtree(folder)
    with pytest.raises(ProfileRefused, match=r"no profile\.json"):
        await state.reload()


async def test_questions_in_flight_end_with_the_profile_they_began_with(
    service: tuple[State, httpx.AsyncClient], folder: Path
) -> None:
    state, client = service
    change(folder, lambda fields: fields.update(strategy="two_step"))
    questions = [{**QUESTION, "question": QUESTION["question"] + " " * n} for n in range(40)]
    asking = [asyncio.create_task(client.post("/v1/answer", json=question)) for question in questions]
    await state.reload()
    answers = [(await task).json() for task in asking]
    assert {answer["answer"] for answer in answers} == {answers[0]["answer"]}
    assert {answer["strategy"] for answer in answers} <= {"deployed", "two_step"}


async def test_one_reload_at_a_time(service: tuple[State, httpx.AsyncClient]) -> None:
    state, _ = service
    results = await asyncio.gather(state.reload(), state.reload(), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ProfileRefused]


@pytest.mark.parametrize("settings", [{"profile": "none"}, {"form": "plain"}])
async def test_a_model_that_was_started_without_its_profile_has_none_to_reload(
    demo: LoadedModel, settings: dict[str, str]
) -> None:
    engine = HFEngine(demo)
    app = create_app(Settings.read(**settings), Corrector(demo, engine))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hopfix") as client,
    ):
        while not app.state.hopfix.ready:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
        refused = await client.post("/v1/profile/reload")
        answer = (await client.post("/v1/answer", json=QUESTION)).json()
    await engine.close()
    assert refused.status_code == 409
    assert "without a profile" in refused.json()["error"]["message"]
    assert (answer["answer"], answer["bridge"]["text"]) == ("Kenichiro Yoshida", "Sony")
    assert (answer["corrected"], answer["patch"], answer["profile"]) == (False, None, None)
    assert answer["strategy"] == answer["fallback"]["strategy"] == "two_step"
    assert answer["fallback"]["reason"] == "the model has no profile, so nobody has measured whether a patch helps it"


async def test_without_a_profile_there_is_nothing_to_reload(connect) -> None:
    async with connect() as client:
        refused = await client.post("/v1/profile/reload")
    assert refused.status_code == 409
    assert "without a profile" in refused.json()["error"]["message"]
