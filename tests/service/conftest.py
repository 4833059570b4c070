"""A service without weights: every HTTP behaviour can be tried against the debug stand-in for the corrector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from correction.answers import Answer, Bridge, Fallback, HopResult, Usage
from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import EngineUnavailable, HopfixError, PatchNotApplied, PromptTooLong
from correction.models import LoadedModel, demo_profile_folder
from correction.passes import Heard, Pass, PassResult, Step
from correction.profile import Choice, Profile, Replay
from correction.questions import Question
from service.app import create_app
from service.settings import Settings

Connect = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


class StandIn:
    """Debug stand-in: answers 'answer to QUESTION' at once, and fails or waits where the question says so.

    What is passed on to its model, whose tokens are characters, is completed by 'direct to PROMPT'.
    """

    def __init__(self) -> None:
        self.max_tokens = 16
        self.choice = Choice(6, 0, "vocabulary")
        self.used = SimpleNamespace(choice=self.choice, patched=Choice(3, 1, "identity"))
        self.profile: SimpleNamespace | None = None
        self.engine = SimpleNamespace(
            name="stand-in", trouble=None, down=False, restarts=0, standins={}, context=4096, run=self.run
        )
        self.prompts = SimpleNamespace(
            encode_raw=lambda text: tuple(map(ord, text)),
            encode_chat=lambda messages: tuple(map(ord, messages[-1]["content"])),
        )
        self.loaded = SimpleNamespace(
            parts=SimpleNamespace(depth=6),
            end_tokens=frozenset({0}),
            text=lambda tokens: "".join(map(chr, tokens)),
            tokenizer=lambda text, add_special_tokens: {"input_ids": text.split()},
            decode=" ".join,
        )
        self.asked: list[tuple[Question, str, Choice | None]] = []
        self.waiting = asyncio.Event()
        self.abandoned = 0

    async def answer(
        self, question: Question, strategy: str = "deployed", *, choice: Choice | None = None, with_direct: bool = False
    ) -> Answer:
        self.asked.append((question, strategy, choice))
        text = question.direct_text
        match text:
            case "wait":
                self.waiting.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.abandoned += 1
                    raise
            case "break":
                raise RuntimeError("secret detail")
            case "overlong":
                raise PromptTooLong("the prompt is too long", hint="shorten it", param="prompt")
            case "engine down":
                raise EngineUnavailable("the engine is closed")
            case "unpatched":
                raise PatchNotApplied("a patch was asked for and not applied")
        direct = f"direct to {text}"
        if strategy == "direct":
            return Answer(direct, "direct", id=question.id, direct_answer=direct)
        if text.startswith("one hop"):
            reason = Fallback("no two hops can be read from the question", "stand-in", "direct")
            return Answer(direct, "direct", id=question.id, direct_answer=direct, fallback=reason)
        return Answer(
            f"answer to {text}",
            strategy,
            corrected=True,
            id=question.id,
            direct_answer=direct if with_direct else None,
            bridge=Bridge("the bridge", 0.9, ({"text": "the", "probability": 0.9},)),
            hops=(HopResult("hop 1", "the bridge"), HopResult("hop 2 {}", "answer")),
            patch=choice or self.choice,
            profile="stand-in@0",
            confidence=0.8,
            usage=Usage(7, 2, 2),
            timings_ms={"total": 1.0},
        )

    async def run(self, request: Pass, heard: Heard = lambda step: None) -> PassResult:
        text = f"direct to {self.loaded.text(request.prompt)}"
        steps = [Step(ord(character), 0.0, ()) for character in text[: request.sampling.max_tokens]]
        for step in steps:
            heard(step)
        tokens, whole = tuple(step.token for step in steps), len(steps) == len(text)
        reason, stopped = ("stop", 0.0) if whole else ("length", None)
        prompt = tuple(Step(token, 0.0, ()) for token in request.prompt[1:])
        return PassResult(
            tokens,
            text,
            (0.0,) * len(tokens),
            stopped,
            (),
            (),
            0,
            len(request.prompt),
            reason,
            "stand-in",
            prompt=prompt,
        )

    async def answer_all(self, questions: list[Question]) -> list[Answer | HopfixError]:
        return [await self.answer(question) for question in questions]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def corrector() -> StandIn:
    return StandIn()


@asynccontextmanager
async def serving(corrector: object, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Starts a service with some settings, waits until it has settled, and gives a client of it."""
    app = create_app(Settings.read(**settings), corrector)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://hopfix") as client,
    ):
        for _ in range(100):
            await asyncio.sleep(0)
        yield client


async def until_ready(client: httpx.AsyncClient) -> None:
    """A real model's first pass takes a moment."""
    while not client._transport.app.state.hopfix.ready:  # type: ignore[attr-defined]  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.fixture
def connect(corrector: StandIn) -> Connect:
    """A service of the stand-in."""
    return lambda **settings: serving(corrector, model="stand-in", **settings)


@pytest.fixture
def connect_demo(demo: LoadedModel) -> Connect:
    """A service of the demo model, for what only a model can answer. Nothing is replayed."""

    @asynccontextmanager
    async def connected(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
        engine = HFEngine(demo)
        profile = replace(Profile.load(demo_profile_folder()), replay=())
        try:
            async with serving(Corrector(demo, engine, profile), **settings) as client:
                await until_ready(client)
                yield client
        finally:
            await engine.close()

    return connected


@pytest.fixture
def profile() -> SimpleNamespace:
    """A profile whose one replayed question the stand-in answers as expected."""
    replay = Replay("Q", "The country of X is", "The capital of {} is", "answer to Q")
    return SimpleNamespace(name="stand-in@0", replay=(replay,))
