"""The Python client against a real service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from service.client import (
    AnswerObject,
    AnswerRequest,
    AsyncClient,
    Client,
    FailedAnswer,
    FailedPatchscope,
    OutcomeObject,
    PatchscopeRequest,
    Point,
    Refused,
    TokenizeRequest,
    Unreachable,
)

CURRENCY = PatchscopeRequest(
    source=Point(prompt="The country where Kruger National Park is located is", layer=6),
    target=Point(prompt="The currency of x is", layer=0, position="x"),
    mapping="vocabulary",
)


@pytest.fixture
def hopfix(server: Any) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def test_one_question(hopfix: Client, replay: list[dict[str, Any]]) -> None:
    entry = replay[0]
    assert hopfix.answer(entry["question"]).answer == entry["answer"]
    request = AnswerRequest(id="a", hop1=entry["hop1"], hop2=entry["hop2"], with_direct=True)
    answer = hopfix.answer(request)
    assert (answer.id, answer.answer) == ("a", entry["answer"])
    assert answer.direct_answer is not None


def test_a_list_and_the_same_as_it_comes(hopfix: Client, replay: list[dict[str, Any]]) -> None:
    asked = [AnswerRequest(id=str(n), question=entry["question"]) for n, entry in enumerate(replay)]
    asked.insert(2, AnswerRequest(id="bad"))
    expected = [entry["answer"] for entry in replay]
    for answers in (hopfix.answers(asked), list(hopfix.stream(asked))):
        assert [answer.id for answer in answers] == [request.id for request in asked]
        failed = answers.pop(2)
        assert isinstance(failed, FailedAnswer)
        assert failed.error.param == "question"
        assert [answer.answer for answer in answers if isinstance(answer, AnswerObject)] == expected


def test_a_stream_is_longer_than_any_list(hopfix: Client, replay: list[dict[str, Any]]) -> None:
    asked = [AnswerRequest(id=str(n), question=replay[n % len(replay)]["question"]) for n in range(300)]
    with pytest.raises(Refused) as caught:
        hopfix.answers(asked)
    assert caught.value.status == 413
    for n, answer in enumerate(hopfix.stream(asked)):
        assert isinstance(answer, AnswerObject)
        assert (answer.id, answer.answer) == (str(n), replay[n % len(replay)]["answer"])
    assert n == 299


def test_patchscopes_at_positions_that_tokenize_told(hopfix: Client) -> None:
    tokens = hopfix.tokenize(TokenizeRequest(question="The currency of {} is"))
    [at] = [n for n, token in enumerate(tokens.tokens) if token.text.strip() == "x"]
    target = Point(prompt=[token.id for token in tokens.tokens], layer=0, position=at)
    assert hopfix.patchscope(CURRENCY).text == hopfix.patchscope(CURRENCY.model_copy(update={"target": target})).text
    good, bad = hopfix.patchscopes([CURRENCY, CURRENCY.model_copy(update={"mapping": "magic"})])
    assert isinstance(good, OutcomeObject)
    assert isinstance(bad, FailedPatchscope)
    assert (good.text, bad.error.param) == ("rand", "mapping")


def test_what_is_served(hopfix: Client) -> None:
    assert hopfix.ready()
    assert hopfix.models() == ["demo", "demo:direct"]
    before = hopfix.profile()
    assert before.name
    assert before.name.startswith("demo@")
    after = hopfix.reload()
    assert after.loaded >= before.loaded
    assert after.model_copy(update={"loaded": before.loaded}) == before


def test_what_is_refused_says_why(hopfix: Client) -> None:
    with pytest.raises(Refused) as caught:
        hopfix.answer(" ")
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "question", "invalid_input")
    assert caught.value.request_id


def test_a_stream_that_is_given_up_leaves_nothing_behind(hopfix: Client, client: Any, replay: Any) -> None:
    answers = hopfix.stream([replay[n % len(replay)]["question"] for n in range(3000)])
    assert isinstance(next(answers), AnswerObject)
    answers.close()  # type: ignore[attr-defined]
    for _ in range(200):
        if "hopfix_questions_in_flight 0.0" in client.get("/metrics").text:
            return
    pytest.fail("the questions of a stream that was given up are still in flight")


def test_no_service_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as hopfix, pytest.raises(Unreachable, match=f"http://127.0.0.1:{port} "):
        hopfix.ready()


def test_asynchronously(server: Any, replay: list[dict[str, Any]]) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url) as hopfix:
            assert await hopfix.ready()
            assert await hopfix.models() == ["demo", "demo:direct"]
            asked = [entry["question"] for entry in replay]
            expected = [entry["answer"] for entry in replay]
            single = await asyncio.gather(*map(hopfix.answer, asked))
            assert [answer.answer for answer in single] == expected
            listed = await hopfix.answers(asked)
            streamed = [answer async for answer in hopfix.stream(asked)]
            for answers in (listed, streamed):
                assert [answer.answer for answer in answers if isinstance(answer, AnswerObject)] == expected
            assert (await hopfix.patchscope(CURRENCY)).text == "rand"
            assert [isinstance(o, OutcomeObject) for o in await hopfix.patchscopes([CURRENCY] * 2)] == [True, True]
            assert (await hopfix.tokenize("a")).count > 0
            assert await hopfix.profile() is not None
            assert (await hopfix.reload()).name

    asyncio.run(ask())
