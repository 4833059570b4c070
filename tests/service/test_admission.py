"""A limit on questions in flight, a deadline, and an end to work that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from service.admission import Admission, while_connected
from service.errors import ClientGone, DeadlineExceeded, Overloaded

pytestmark = pytest.mark.anyio


async def test_beyond_the_limit_is_turned_away_whole() -> None:
    admission = Admission(limit=3, deadline=1)
    with admission.admit(2):
        with pytest.raises(Overloaded, match="2 questions are being answered, the limit is 3"), admission.admit(2):
            pass
        with admission.admit(1):
            assert admission.in_flight == 3
    assert admission.in_flight == 0


async def test_places_are_given_back_after_a_failure() -> None:
    admission = Admission(limit=1, deadline=1)
    with pytest.raises(KeyError), admission.admit(1):
        raise KeyError
    assert admission.in_flight == 0


async def test_the_deadline_ends_the_work() -> None:
    with pytest.raises(DeadlineExceeded, match=r"within 0\.01 seconds"):
        await Admission(limit=1, deadline=0.01).in_time(asyncio.sleep(10))


async def test_a_timeout_of_the_works_own_is_not_the_deadline() -> None:
    async def work() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await Admission(limit=1, deadline=10).in_time(work())


async def test_work_ends_with_its_client() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.set()

    async def receive() -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        await while_connected(Request({"type": "http"}, receive), work())
    assert ended.is_set()


async def test_a_result_comes_through_and_so_does_an_error() -> None:
    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def fails() -> None:
        raise KeyError("work's")

    request = Request({"type": "http"}, receive)
    assert await while_connected(request, asyncio.sleep(0, "result")) == "result"
    with pytest.raises(KeyError):
        await while_connected(request, fails())
