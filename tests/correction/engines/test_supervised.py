"""When another vLLM is started, and what is said meanwhile.

A scripted backend stands in for vLLM, as this is about time and order: `test_vllm.py` kills real processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from correction.engines.vllm import Supervised, supervised
from correction.engines.vllm.backend import Asked, Generated, Token, Told
from correction.errors import EngineUnavailable, InvalidInput
from correction.passes import Sampling

pytestmark = pytest.mark.anyio
GENERATED = Generated((Token(7, -0.1, ()),), False)


def asked(tokens: int = 1) -> Asked:
    return Asked((1,), Sampling(tokens, 0), frozenset())


class Scripted:
    """A backend whose trouble is set from outside. `start_error` makes its start fail, `slow` take for ever."""

    restarts = 0

    def __init__(self, start_error: Exception | None = None, *, slow: bool = False, context: int = 100) -> None:
        self.start_error = start_error
        self.slow = slow
        self.context = context
        self.trouble: str | None = None
        self.closed = False

    async def start(self) -> int:
        if self.slow:
            await asyncio.Event().wait()
        if self.start_error:
            raise self.start_error
        return self.context

    async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
        if self.trouble:
            raise EngineUnavailable(self.trouble)
        for token in GENERATED.tokens if told else ():
            told(token)
        return GENERATED

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits in these tests; the pauses between starts are noted instead."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(pause: float) -> None:
        pauses.append(pause)
        await sleep(0)

    monkeypatch.setattr(supervised, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(supervised.asyncio, "sleep", note)
    return pauses


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await tick()


async def tick() -> None:
    """A few milliseconds, `asyncio.sleep` being taken."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.005, done.set_result, None)
    await done


async def test_a_dead_one_is_closed_and_replaced_without_being_asked() -> None:
    made = [Scripted(), Scripted()]
    lives = iter(made)
    backend = Supervised(lambda: next(lives))
    assert await backend.start() == 100
    assert (await backend.generate(asked()), backend.trouble, backend.restarts) == (GENERATED, None, 0)
    made[0].trouble = "it died"
    assert backend.trouble == "it died"
    with pytest.raises(EngineUnavailable, match="it died"):
        await backend.generate(asked())
    await eventually(lambda: backend.trouble is None)
    assert (await backend.generate(asked()), backend.restarts, made[0].closed) == (GENERATED, 1, True)
    await backend.close()
    assert made[1].closed


async def test_starts_that_fail_are_repeated_after_growing_pauses(fast, caplog) -> None:
    caplog.set_level("INFO", logger="correction.engines.vllm.supervised")
    made = [Scripted()] + [Scripted(EngineUnavailable("no memory")) for _ in range(7)] + [Scripted()]
    lives = iter(made)
    backend = Supervised(lambda: next(lives))
    await backend.start()
    made[0].trouble = "it died"
    await eventually(lambda: backend.restarts)
    assert fast == [0, 1, 2, 4, 8, 16, 30, 30]
    assert all(life.closed for life in made[:-1])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    # One that dies young is not started again at once.
    fast.clear()
    made.append(Scripted())
    lives = iter(made[-1:])
    made[-2].trouble = "it died again"
    await eventually(lambda: backend.restarts == 2)
    assert fast == [30]
    await backend.close()


async def test_whatever_a_start_raises_there_is_another(caplog) -> None:
    made = [Scripted(), Scripted(KeyError("surprise")), Scripted()]
    lives = iter(made)
    backend = Supervised(lambda: next(lives))
    await backend.start()
    made[0].trouble = "it died"
    await eventually(lambda: backend.restarts)
    assert "surprise" in caplog.text
    await backend.close()


async def test_the_first_start_is_the_callers() -> None:
    backend = Supervised(lambda: Scripted(EngineUnavailable("not installed")))
    with pytest.raises(EngineUnavailable, match="not installed"):
        await backend.start()
    await backend.close()


async def test_it_can_be_closed_while_another_is_being_started() -> None:
    made = [Scripted(), Scripted(slow=True)]
    lives = iter(made)
    backend = Supervised(lambda: next(lives))
    await backend.start()
    made[0].trouble = "it died"
    await eventually(lambda: made[0].closed)
    await tick()
    await backend.close()
    assert [life.closed for life in made] == [True, True]
    with pytest.raises(EngineUnavailable, match="closed"):
        await backend.generate(asked())


async def test_a_pass_that_fits_no_more_is_unavailable_rather_than_wrong() -> None:
    """The engine checked it against the context of the first start."""
    made = [Scripted(), Scripted(context=10)]
    lives = iter(made)
    backend = Supervised(lambda: next(lives))
    await backend.start()
    await backend.generate(asked(50))
    made[0].trouble = "it died"
    await eventually(lambda: backend.restarts)
    with pytest.raises(EngineUnavailable, match="room for 10 tokens"):
        await backend.generate(asked(50))
    await backend.generate(asked(5))
    await backend.close()


async def test_what_it_refuses_is_no_reason_to_replace_it() -> None:
    class Refusing(Scripted):
        async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
            raise InvalidInput("no such token")

    backend = Supervised(Refusing)
    await backend.start()
    with pytest.raises(InvalidInput):
        await backend.generate(asked())
    await tick()
    assert (backend.trouble, backend.restarts) == (None, 0)
    await backend.close()
