"""Places, turns between clients, who is turned away, deadlines, and an end to work that nobody waits for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, aclosing

import pytest
from starlette.requests import Request

from correction.errors import HopfixError, InvalidInput
from service.admission import Admission, deadline_of, while_connected
from service.errors import ClientGone, DeadlineExceeded, Overloaded

pytestmark = pytest.mark.anyio


class Work:
    """Work that says when it starts and ends when it is told to."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def __call__(self, name: str) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            self.started.append(name)
            await self._ends.setdefault(name, asyncio.Event()).wait()
            return name

        return work

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends.setdefault(name, asyncio.Event()).set()
            await settle()


@pytest.fixture
def work() -> Work:
    return Work()


async def settle() -> None:
    """Lets everything go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def alone(admission: Admission, client: str, work: Callable[[], Awaitable[str]]) -> str:
    """As a route does it with one question."""
    with admission.reserve(client) as places:
        return await places.run(work)


async def asked(admission: Admission, work: Work, *names: str) -> dict[str, asyncio.Task[str]]:
    """One question for each name, of the client that is its first letter."""
    tasks = {name: asyncio.create_task(alone(admission, name[0], work(name))) for name in names}
    await settle()
    return tasks


# Places


async def test_there_are_as_many_places_as_may_run_and_wait(work: Work) -> None:
    admission = Admission(2, 1, 10)
    await asked(admission, work, "a1", "a2", "a3")
    assert (admission.running, admission.waiting, work.started) == (2, 1, ["a1", "a2"])
    with pytest.raises(Overloaded, match="all 3 places are taken"):
        admission.reserve("a")
    await work.end("a1", "a2", "a3")
    assert (admission.running, admission.waiting, admission.taken) == (0, 0, 0)


async def test_a_list_takes_what_is_free(work: Work) -> None:
    admission = Admission(2, 2, 10)
    with admission.reserve("a"), admission.reserve("a", 10) as places:
        assert places.count == 3
    assert admission.taken == 0


async def test_a_list_gives_places_up_to_what_comes_later_of_the_same_client_and_keeps_one() -> None:
    admission = Admission(2, 2, 10)
    with admission.reserve("a", 10) as many, ExitStack() as others:
        for left in (3, 2, 1):
            others.enter_context(admission.reserve("a"))
            assert many.count == left
        with pytest.raises(Overloaded):
            admission.reserve("a")


async def test_a_list_gets_back_what_becomes_free(work: Work) -> None:
    admission = Admission(2, 0, 10)
    with admission.reserve("a", 9) as many:
        with admission.reserve("a"):
            assert many.count == 1
        async with aclosing(many.each([work("a1"), work("a2"), work("a3")])) as results:
            first = asyncio.create_task(anext(results))
            await settle()
            assert (many.count, work.started) == (2, ["a1", "a2"])
            await work.end("a1")
            assert await first == "a1"


async def test_places_are_given_back_after_a_failure() -> None:
    admission = Admission(1, 0, 10)
    with pytest.raises(KeyError), admission.reserve("a"):
        raise KeyError
    assert admission.taken == 0


async def test_retry_after_is_the_time_in_which_a_place_becomes_free() -> None:
    admission = Admission(4, 0, 10)
    for _ in range(200):
        admission.running = 1
        admission.end(10.0)  # that is how long work took
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(admission.reserve("a"))
        with pytest.raises(Overloaded) as refused:
            admission.reserve("a")
    assert refused.value.retry_after == 3


# Turns


async def test_clients_take_turns_and_each_has_its_oldest_first(work: Work) -> None:
    admission = Admission(1, 9, 10)
    await asked(admission, work, "a1", "a2", "a3", "a4", "b1", "c1", "b2")
    for name in ("a1", "a2", "b1", "c1", "a3", "b2"):
        await work.end(name)
    assert work.started == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    await work.end("a4")


async def test_much_waiting_does_not_delay_one_with_little(work: Work) -> None:
    admission = Admission(1, 61, 10)
    await asked(admission, work, *(f"a{n}" for n in range(61)), "b")
    await work.end("a0", "a1")
    assert work.started == ["a0", "a1", "b"]
    await work.end("b", *(f"a{n}" for n in range(2, 61)))
    assert len(work.started) == 62


async def test_how_long_each_waited_is_told(work: Work) -> None:
    admission = Admission(1, 1, 10)
    waited: list[float] = []
    admission.on_wait = waited.append
    await asked(admission, work, "a", "b")
    await work.end("a", "b")
    assert len(waited) == 2
    assert waited[0] < waited[1]


# Who is turned away


async def test_a_client_with_fewer_places_gets_the_newest_waiting_one_of_who_has_most(work: Work) -> None:
    admission = Admission(1, 3, 10)
    refused: list[str] = []
    admission.on_refused = refused.append
    tasks = await asked(admission, work, "a1", "a2", "a3", "a4", "b1")
    with pytest.raises(Overloaded):
        await tasks["a4"]
    assert refused == ["displaced"]
    await work.end("a1", "a2", "b1", "a3")
    assert work.started == ["a1", "a2", "b1", "a3"]


async def test_nobody_is_turned_away_for_one_who_would_then_have_more(work: Work) -> None:
    admission = Admission(1, 3, 10)
    refused: list[str] = []
    admission.on_refused = refused.append
    await asked(admission, work, "a1", "b1", "a2", "b2")
    for client in "ab":
        with pytest.raises(Overloaded):
            admission.reserve(client)
    with admission.reserve("c"), pytest.raises(Overloaded):  # one of a's or b's; now each has few
        admission.reserve("c")
    assert refused == ["full", "full", "full"]


async def test_what_runs_is_not_turned_away(work: Work) -> None:
    admission = Admission(3, 0, 10)
    await asked(admission, work, "a1", "a2", "a3")
    with pytest.raises(Overloaded):
        admission.reserve("b")
    await work.end("a1", "a2", "a3")


async def test_a_list_that_loses_places_goes_on_in_those_it_has(work: Work) -> None:
    admission = Admission(1, 3, 10)
    names = [f"a{n}" for n in range(6)]

    async def listed() -> list[str | HopfixError]:
        with admission.reserve("a", 6) as places:
            return [result async for result in places.each(map(work, names))]

    task = asyncio.create_task(listed())
    await settle()
    assert (admission.running, admission.waiting) == (1, 3)
    others = await asked(admission, work, "b", "c")
    assert (admission.running, admission.waiting) == (1, 3)
    await work.end("b", "c", *names)
    assert await task == names
    assert [await other for other in others.values()] == ["b", "c"]
    assert (admission.running, admission.waiting, admission.taken) == (0, 0, 0)


# Deadlines


async def test_the_deadline_ends_work_that_runs_and_work_that_waits(work: Work) -> None:
    admission = Admission(1, 1, 0.02)
    tasks = await asked(admission, work, "a", "b")
    for task in tasks.values():
        with pytest.raises(DeadlineExceeded, match=r"within 0\.02 seconds"):
            await task
    assert (admission.running, admission.waiting, admission.taken) == (0, 0, 0)


async def test_a_client_may_shorten_the_deadline_and_not_lengthen_it() -> None:
    admission = Admission(1, 0, 10)
    for asked_for, given in ((None, 10), (2.5, 2.5), (60, 10)):
        with admission.reserve("a", deadline=asked_for) as places:
            assert places.deadline == given


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "1e999", "soon", ""])
async def test_a_deadline_that_is_none_is_refused(given: str) -> None:
    request = Request({"type": "http", "headers": [(b"x-deadline-seconds", given.encode())]})
    with pytest.raises(InvalidInput, match="X-Deadline-Seconds"):
        deadline_of(request)


async def test_a_timeout_of_the_works_own_is_not_the_deadline() -> None:
    async def works_own() -> str:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await alone(Admission(1, 0, 10), "a", works_own)


# Cancellation


async def test_one_that_is_cancelled_while_it_waits_makes_room(work: Work) -> None:
    admission = Admission(1, 1, 10)
    tasks = await asked(admission, work, "a", "b")
    tasks["b"].cancel()
    await settle()
    assert (admission.waiting, admission.taken) == (0, 1)
    await work.end("a")
    assert admission.running == 0


async def test_a_turn_that_comes_as_its_client_goes_is_passed_on(work: Work) -> None:
    admission = Admission(1, 2, 10)
    tasks = await asked(admission, work, "a", "b", "c")
    work._ends["a"].set()
    while admission.waiting == 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    tasks["b"].cancel()  # its turn has been given to it, and it has not run since
    await settle()
    assert work.started == ["a", "c"]
    await work.end("c")
    assert (admission.running, admission.taken) == (0, 0)


async def test_one_cancelled_just_before_its_turn_is_passed_over(work: Work) -> None:
    admission = Admission(1, 2, 10)
    tasks = await asked(admission, work, "a", "b", "c")
    tasks["a"].cancel()
    tasks["b"].cancel()
    await settle()
    assert work.started == ["a", "c"]
    await work.end("c")
    assert (admission.running, admission.waiting, admission.taken) == (0, 0, 0)


# Lists and streams


async def test_results_come_in_order_and_a_failure_spoils_no_other() -> None:
    async def late() -> str:
        await asyncio.sleep(0.01)
        return "late"

    async def soon() -> str:
        return "soon"

    async def fails() -> str:
        raise InvalidInput("wrong")

    with Admission(3, 0, 10).reserve("a", 3) as places:
        first, second, third = [result async for result in places.each([late, soon, fails])]
    assert (first, second, str(third)) == ("late", "soon", "wrong")


async def test_a_list_is_never_further_ahead_of_its_reader_than_it_has_places(work: Work) -> None:
    admission = Admission(8, 0, 10)
    drawn: list[str] = []

    def names() -> object:
        for n in range(1000):
            drawn.append(f"a{n}")
            yield work(f"a{n}")

    with admission.reserve("a", 3) as places:
        results = places.each(names())  # type: ignore[arg-type]
        first = asyncio.create_task(anext(results))
        await work.end("a2", "a1", "a0")
        assert await first == "a0"
        await settle()
        assert drawn == ["a0", "a1", "a2", "a3"]
        await results.aclose()
    assert (admission.running, admission.taken) == (0, 0)


# All together


@pytest.mark.parametrize("seed", range(12))
async def test_places_and_turns_never_leak(seed: int) -> None:
    """Singles and lists of several clients, cancelled, late, failing and displaced at random."""
    chance = random.Random(seed)
    admission = Admission(chance.randint(1, 4), chance.randint(0, 4), 0.05)

    async def some() -> int:
        for _ in range(chance.randint(0, 6)):
            await asyncio.sleep(0)
        match chance.random():
            case few if few < 0.02:
                await asyncio.sleep(1)  # until the deadline
            case few if few < 0.1:
                raise InvalidInput("wrong")
        return 1

    async def use(name: str) -> None:
        with admission.reserve(name, chance.randint(1, 5)) as places:
            if chance.random() < 0.5:
                await places.run(some)
            else:
                async with aclosing(places.each([some] * chance.randint(0, 9))) as results:
                    async for _ in results:
                        await asyncio.sleep(0)

    async def client(name: str) -> None:
        for _ in range(40):
            task = asyncio.create_task(use(name))
            for _ in range(chance.randint(0, 8)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                task.cancel()
            if chance.random() < 0.5:
                await asyncio.gather(task, return_exceptions=True)
            tasks.append(task)

    async def watch() -> None:
        while True:
            held = sum(line.held for line in admission._lines.values())
            assert 0 <= admission.running <= admission.at_once
            assert held == admission.taken <= admission.limit
            assert admission.running + admission.waiting <= admission.taken
            assert not admission.waiting or admission.running == admission.at_once
            await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(name) for name in "aaabc"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    wrong = [r for r in results if isinstance(r, Exception) and not isinstance(r, HopfixError)]
    assert not wrong
    assert not watching.done(), watching.exception()
    watching.cancel()
    assert (admission.running, admission.waiting, admission.taken) == (0, 0, 0)
    assert not admission._lines
    assert not admission._turns
    with ExitStack() as stack:
        stack.enter_context(admission.reserve("z", 99))
        assert admission.taken == admission.limit


# Clients that go away


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
