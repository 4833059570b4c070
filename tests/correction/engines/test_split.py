"""Who runs a pass of `hf+vllm`, and what is heard of it when vLLM is slow, stops or refuses.

Scripted engines stand in for both, as this is about time and order: `test_vllm.py` has the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import torch

from correction.engines import SplitEngine
from correction.engines.base import Engine
from correction.engines.split import SHORT
from correction.errors import EngineUnavailable, InvalidInput
from correction.passes import Capture, Heard, Pass, PassResult, Patch, Sampling, Step

pytestmark = pytest.mark.anyio

DEADLINE, PAUSE = 0.5, 0.2
PLAIN = Pass((1,), sampling=Sampling(4))
LONG = Pass((1,), sampling=Sampling(3 * SHORT))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Scripted:
    """Says its tokens after the pauses before them, then raises its error or is done. `asked`: what it was to run."""

    can_patch = True
    down = False
    restarts = 0
    standins: dict[str, int] = {}  # noqa: RUF012

    def __init__(
        self, name: str, pauses: Sequence[float] = (0, 0, 0), error: Exception | None = None, context: int = 1000
    ) -> None:
        self.name = name
        self.pauses = pauses
        self.error = error
        self.context = context
        self.trouble: str | None = None
        self.asked: list[Pass] = []
        self.listeners = 0

    async def start(self) -> None:
        pass

    async def run(self, request: Pass, heard: Heard | None = None) -> PassResult:
        self.asked.append(request)
        self.listeners += heard is not None
        for token, pause in enumerate(self.pauses):
            await asyncio.sleep(pause)
            if heard:
                heard(Step(token, -1.0, ()))
        if self.error:
            raise self.error
        tokens = tuple(range(len(self.pauses)))
        return PassResult(tokens, "", (-1.0,) * len(tokens), None, (), (), 0, 1, "length", self.name)

    async def close(self) -> None:
        pass


def split(vllm: Scripted, deadline: float = DEADLINE) -> SplitEngine:
    custom: Engine = Scripted("hf")  # type: ignore[assignment]
    return SplitEngine(custom, vllm, deadline=deadline)  # type: ignore[arg-type]


async def listened(engine: SplitEngine, request: Pass = PLAIN) -> tuple[list[int], PassResult]:
    """What was heard, and the result."""
    heard: list[int] = []
    result = await engine.run(request, lambda step: heard.append(step.token))
    return heard, result


@pytest.mark.parametrize(
    ("request_", "engine"),
    [
        (PLAIN, "vllm"),
        (Pass((1,), captures=(Capture(1),)), "hf"),
        (Pass((1,), patches=(Patch(0, -1, torch.zeros(4)),)), "hf"),
        (Pass((1,), exit=1), "hf"),
        (Pass((1,), sampling=Sampling(1000)), "hf"),  # more than vLLM has room for
    ],
)
async def test_whoever_runs_a_pass_is_heard(request_: Pass, engine: str) -> None:
    heard, result = await listened(split(Scripted("vllm")), request_)
    assert (result.engine, heard) == (engine, [0, 1, 2])


async def test_the_custom_forward_stands_in_before_anything_was_heard() -> None:
    for vllm, reason in (
        (Scripted("vllm", (), EngineUnavailable("it died")), "failed"),
        (Scripted("vllm", (60,)), "slow"),
        (Scripted("vllm", (), InvalidInput("too many alternatives")), "refused"),
    ):
        engine = split(vllm)
        heard, result = await listened(engine)
        assert (result.engine, heard, engine.standins) == ("hf", [0, 1, 2], {reason: 1})


@pytest.mark.parametrize(
    "vllm", [Scripted("vllm", (0, 0), EngineUnavailable("it died")), Scripted("vllm", (0, 60))], ids=["died", "stuck"]
)
async def test_two_engines_never_speak_in_one_answer(vllm: Scripted) -> None:
    engine, heard = split(vllm), []
    with pytest.raises(EngineUnavailable, match="middle of an answer: ask again") as caught:
        await engine.run(PLAIN, lambda step: heard.append(step.token))
    assert caught.value.retryable
    assert heard == [0, 1][: len(heard)]
    assert (engine.hf.asked, engine.standins) == ([], {})  # type: ignore[attr-defined]
    assert engine.trouble  # the next ones do not wait for it
    assert (await listened(engine))[1].engine == "hf"


async def test_a_pass_that_is_long_is_not_slow() -> None:
    """Each token comes within the deadline, all of them do not. Where nobody listens, their number counts."""
    steady = [PAUSE] * 4
    heard, result = await listened(split(Scripted("vllm", steady)))
    assert (result.engine, heard) == ("vllm", [0, 1, 2, 3])
    assert (await split(Scripted("vllm", steady)).run(LONG)).engine == "vllm"
    assert (await split(Scripted("vllm", steady)).run(PLAIN)).engine == "hf"


async def test_vllm_is_not_made_to_stream_where_nobody_listens() -> None:
    vllm = Scripted("vllm")
    await split(vllm).run(LONG)
    assert vllm.listeners == 0


async def test_what_finds_out_whether_vllm_is_well_again_is_short() -> None:
    vllm = Scripted("vllm", (), EngineUnavailable("it cannot now"))
    engine = split(vllm)
    await engine.run(LONG)
    vllm.error = None
    await engine.run(LONG)
    async with asyncio.timeout(5):
        while engine.trouble:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert [asked.sampling.max_tokens for asked in vllm.asked] == [3 * SHORT, SHORT]
    assert (await engine.run(LONG)).engine == "vllm"
