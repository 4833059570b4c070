"""The kinds of requests that are sent under load. Each asks its question in its own form and judges what comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from eval.bench.serve.client import Client
from eval.bench.serve.http import Reply, request
from eval.bench.serve.traffic import (
    GONE,
    LOST,
    REFUSED,
    RIGHT,
    TURNED_AWAY,
    UNEXPECTED,
    Asked,
    Verdict,
    events_of,
    judge_error,
    judge_list,
    judge_object,
    judge_status,
    judge_text,
    lines_of,
    plain,
)

LINES = "application/x-ndjson"
BAD: tuple[tuple[str, object, int], ...] = (
    ("/v1/answer", b"{", 400),
    ("/v1/answer", {"question": ""}, 400),
    ("/v1/answer", {"questoin": "?"}, 422),
    ("/v1/answer", {"question": "?", "strategy": "guess"}, 422),
    ("/v1/completions", {"model": "nobody", "prompt": "Q"}, 404),
    ("/v1/chat/completions", {"model": "demo", "messages": []}, 400),
    ("/v1/nothing", {}, 404),
)


async def single(client: Client) -> Verdict:
    """One question."""
    id, asked = client.next()
    reply = await client.ask("/v1/answer", {"question": asked.text, "id": id})
    return judge_status(reply) or judge_object(reply.json(), asked, id)


async def listed(client: Client, count: int = 4) -> Verdict:
    """A list of questions."""
    return await _several(client, count, lambda reply: reply.json())


async def lines(client: Client, count: int = 8) -> Verdict:
    """A list whose answers are streamed as lines."""
    return await _several(client, count, lines_of, Accept=LINES)


async def _several(client: Client, count: int, read: Callable[[Reply], list[Any]], **headers: str) -> Verdict:
    ids, asked = zip(*(client.next() for _ in range(count)), strict=True)
    body = [{"question": one.text, "id": id} for id, one in zip(ids, asked, strict=True)]
    reply = await client.ask("/v1/answer", body, **headers)
    return judge_status(reply) or judge_list(read(reply), asked, ids)


async def completion(client: Client) -> Verdict:
    """A question through OpenAI's completions."""
    _, asked = client.next()
    reply = await client.ask("/v1/completions", {"model": client.model, "prompt": asked.text})
    if verdict := judge_status(reply):
        return verdict
    body = reply.json()
    return judge_text(body["choices"][0]["text"], asked.answer, body.get("hopfix"), asked)


async def chat(client: Client) -> Verdict:
    """A question through OpenAI's chat."""
    _, asked = client.next()
    reply = await client.ask("/v1/chat/completions", _messages(client, asked))
    if verdict := judge_status(reply):
        return verdict
    body = reply.json()
    return judge_text(body["choices"][0]["message"]["content"], asked.answer, body.get("hopfix"), asked)


async def completion_stream(client: Client) -> Verdict:
    """The model as it is, its tokens streamed."""
    _, asked = client.next()
    body = {"model": f"{client.model}:direct", "prompt": asked.cloze, "stop": "\n", "stream": True}
    reply = await client.ask("/v1/completions", body)
    return judge_status(reply) or _judge_events(reply, lambda choice: choice["text"], asked.beside["direct"], asked)


async def chat_stream(client: Client) -> Verdict:
    """A question through OpenAI's chat, streamed."""
    _, asked = client.next()
    reply = await client.ask("/v1/chat/completions", {**_messages(client, asked), "stream": True})
    return judge_status(reply) or _judge_events(
        reply, lambda choice: choice["delta"].get("content") or "", asked.answer, asked
    )


async def bad(client: Client) -> Verdict:
    """What must be refused, with the status it must have."""
    path, body, status = client.dice.choice(BAD)
    reply = await client.ask(path, body)
    if reply.status == status:
        return Verdict(REFUSED)
    return judge_status(reply) or Verdict(UNEXPECTED, detail=f"{body!r} was taken: {reply.body[:300]!r}")


async def gone(client: Client) -> Verdict:
    """A client that leaves: midway in its request, or while it is being answered or streamed to."""
    _, asked = client.next()
    whole = [{"question": asked.text}] * 8
    sent = request(client.url, "/v1/answer", whole, Accept=client.dice.choice(("application/json", LINES)))
    part = sent[: len(sent) // 2] if client.dice.random() < 0.3 else sent
    await client.leave(part, client.dice.uniform(0.0, 0.2))
    return Verdict(GONE)


async def two_step(client: Client) -> Verdict:
    """The text pipeline on OpenAI's completions, as a client without hopfix writes it: two calls."""
    _, asked = client.next()
    bridge = await _completed(client, asked.prompts[0])
    if isinstance(bridge, Verdict):
        return bridge
    answer = await _completed(client, asked.prompts[1].replace("{}", bridge))
    return answer if isinstance(answer, Verdict) else judge_text(answer, asked.beside["two_step"], None, asked)


async def _completed(client: Client, prompt: str) -> str | Verdict:
    options = {"max_tokens": 16, "temperature": 0, "stop": "\n"}
    reply = await client.ask("/v1/completions", {"model": client.model, "prompt": prompt, **options})
    return judge_status(reply) or plain(reply.json()["choices"][0]["text"])


def _messages(client: Client, asked: Asked) -> dict[str, Any]:
    return {"model": client.model, "messages": [{"role": "user", "content": asked.text}]}


def _judge_events(reply: Reply, text: Callable[[Any], str], expected: str, asked: Asked) -> Verdict:
    events, done = events_of(reply)
    if error := next((event["error"] for event in events if "error" in event), None):
        return judge_error(error)
    if not done:
        return Verdict(LOST, detail=f"a stream without an end: {reply.body[-300:]!r}")
    said = "".join(text(choice) for event in events for choice in event["choices"])
    evidence = next((event["hopfix"] for event in reversed(events) if event.get("hopfix")), None)
    return judge_text(said, expected, evidence, asked)


Kind = Callable[[Client], Awaitable[Verdict]]
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (single, listed, lines, completion, chat, completion_stream, chat_stream, bad, gone, two_step)
    }
)
SOUND = frozenset({RIGHT, REFUSED, TURNED_AWAY, GONE})  # all others are the service's faults
