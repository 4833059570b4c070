"""Identical questions: computed once while in flight, kept afterwards if that is wanted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service.duplicates import Once

pytestmark = pytest.mark.anyio


class Work:
    """Counts how often it is begun and given up; ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.abandoned = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if self.error is not None:
            raise self.error
        return f"result {self.begun}"


@pytest.fixture
def work() -> Work:
    return Work()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_in_flight_is_joined_and_what_has_ended_is_not(work: Work) -> None:
    once = Once[str](0)
    tasks = [asyncio.create_task(once.get("k", work)) for _ in range(3)]
    other = asyncio.create_task(once.get("another", work))
    await settle()
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [("result 2", "computed"), ("result 2", "joined"), ("result 2", "joined")]
    assert (await other)[1] == "computed"
    assert await once.get("k", work) == ("result 3", "computed")


async def test_the_work_goes_on_until_the_last_who_waits_has_gone(work: Work) -> None:
    once = Once[str](0)
    tasks = [asyncio.create_task(once.get("k", work)) for _ in range(3)]
    await settle()
    for task in tasks[:2]:  # the one who began it among them
        task.cancel()
    await settle()
    assert work.abandoned == 0
    tasks[2].cancel()
    await settle()
    assert work.abandoned == 1
    work.may_end.set()
    assert await once.get("k", work) == ("result 2", "computed")


async def test_work_that_is_being_given_up_is_not_joined(work: Work) -> None:
    once = Once[str](0)
    first = asyncio.create_task(once.get("k", work))
    await settle()
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(once.get("k", work))
    await settle()
    work.may_end.set()
    assert await second == ("result 2", "computed")


async def test_a_failure_is_everybodys_and_is_not_kept(work: Work) -> None:
    once = Once[str](9)
    work.error = KeyError("wrong")
    tasks = [asyncio.create_task(once.get("k", work)) for _ in range(2)]
    work.may_end.set()
    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [KeyError, KeyError]
    work.error = None
    assert await once.get("k", work) == ("result 2", "computed")


async def test_the_latest_used_are_kept(work: Work) -> None:
    once = Once[str](2)
    work.may_end.set()
    for key in ("a", "b", "a", "c"):  # b is the one that was not used for longest
        await once.get(key, work)
    assert [(await once.get(key, work))[1] for key in ("a", "c", "b")] == ["cached", "cached", "computed"]


# The service


async def ask(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.post("/v1/answer", json={"question": "Q", **fields})).json()
    return answer


async def test_each_of_identical_questions_has_its_own_id_and_says_that_nothing_was_computed(
    connect, corrector
) -> None:
    questions = [{"id": name, "question": "Q"} for name in "abc"]
    async with connect() as client:
        answers = (await client.post("/v1/answer", json=questions)).json()
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert {answer["answer"] for answer in answers} == {"answer to Q"}
    assert len(corrector.asked) == 1
    assert [answer["usage"]["passes"] for answer in answers] == [2, 0, 0]
    assert [answer["usage"]["prompt_tokens"] for answer in answers] == [7, 7, 7]
    assert [list(answer["timings_ms"]) for answer in answers] == [["total"], ["joined"], ["joined"]]


async def test_what_differs_in_anything_that_matters_is_another_question(connect, corrector) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"strategy": "direct"},
        {"with_direct": True},
        {"source_layer": 4},
        {"direct": "Q is"},
        {"hop1": "A is", "hop2": "B of {} is"},
    ]
    async with connect(cache_answers=9) as client:
        for fields in variants * 2:
            await ask(client, **fields)
        metrics = (await client.get("/metrics")).text
    assert len(corrector.asked) == len(variants)
    assert f'hopfix_reused_total{{how="cached"}} {len(variants)}.0' in metrics


async def test_nothing_is_kept_unless_that_is_wanted(connect, corrector) -> None:
    async with connect() as client:
        await ask(client)
        await ask(client)
    assert len(corrector.asked) == 2
