"""Any OpenAI-compatible server as the baseline: the strategies that need text alone, over HTTP.

The one module of `eval` that is an HTTP client. It reads no gold and patches nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from correction.answers import Answer, Bridge, HopResult
from correction.decomposition import ask_model, split_question
from correction.errors import EngineUnavailable, HopfixError, InvalidInput
from correction.forms import Wording, phrase
from correction.prompts import STEP_BY_STEP, as_prompt, without_full_stop
from correction.questions import BLANK, Hops, Question

STRATEGIES = ("direct", "two_step", "step_by_step")
AT_ONCE = 16  # requests in flight
TRIES = 5
MAX_TOKENS = 16


class RemoteModel:
    """The model called `model` on the server at `url`, such as http://localhost:8000; `key` is its API key.

    With `chat` every text is a user's message of /v1/chat/completions, as chat models want it; else it goes to
    /v1/completions in the form of a base model's prompt.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, chat: bool = False) -> None:
        self.model = model
        self.chat = chat
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/").removesuffix("/v1"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(120.0, connect=10.0),
        )

    async def models(self) -> list[str]:
        """The names of the models that the server has."""
        return [str(card["id"]) for card in (await self._get("/v1/models"))["data"]]

    async def answer_all(self, questions: Sequence[Question], strategy: str) -> list[Answer | HopfixError]:
        """Answers in the order of the questions; a failed one is its error, a server that is gone ends it all."""
        if strategy not in STRATEGIES:
            hint = f"over HTTP there are {', '.join(STRATEGIES)}"
            raise InvalidInput(f"{strategy!r} needs the model here", hint=hint, param="strategies")
        return list(await asyncio.gather(*(self._answer(question, strategy) for question in questions)))

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def _answer(self, question: Question, strategy: str) -> Answer | HopfixError:
        try:
            if strategy == "step_by_step":
                text = await self._complete(self._step_by_step(question), 4 * MAX_TOKENS)
                return Answer(text.rsplit(" is ", 1)[-1].strip(" ."), strategy)
            hops = await self._hops(question) if strategy == "two_step" else None
            if hops is None:
                return Answer(await self._ask(question.direct_text), "direct")
            return await self._two_step(hops)
        except InvalidInput as error:
            return error

    async def _two_step(self, hops: Hops) -> Answer:
        bridge, said = await self._ask(hops.hop1), []
        said.append(HopResult(hops.hop1, bridge))
        for hop in hops.chain[1:-1]:
            bridge = await self._ask(hop.replace(BLANK, bridge))
            said.append(HopResult(hop, bridge))
        text = await self._ask(hops.chain[-1].replace(BLANK, bridge))
        # Servers do not all give probabilities: a bridge is taken as it is said.
        return Answer(text, "two_step", bridge=Bridge(bridge, 1.0), hops=(*said, HopResult(hops.chain[-1], text)))

    async def _hops(self, question: Question) -> Hops | None:
        return question.hops or split_question(question.text) or await ask_model(question.text, self._complete)

    async def _ask(self, text: str) -> str:
        if not self.chat:
            return without_full_stop(await self._complete(as_prompt(text), MAX_TOKENS))
        asked = Wording.of(text).question or text
        return without_full_stop(phrase(await self._complete(asked, MAX_TOKENS)))

    def _step_by_step(self, question: Question) -> str:
        text = (question.text or question.direct_text).strip()
        return f"{text}\n{STEP_BY_STEP}" if self.chat else f"Q: {text}\nA: {STEP_BY_STEP}"

    async def _complete(self, text: str, max_tokens: int) -> str:
        body: dict[str, Any] = {"model": self.model, "max_tokens": max_tokens, "temperature": 0, "stop": ["\n"]}
        if self.chat:
            reply = await self._post("/v1/chat/completions", {**body, "messages": [{"role": "user", "content": text}]})
            return (reply["choices"][0]["message"]["content"] or "").strip()
        reply = await self._post("/v1/completions", {**body, "prompt": text})
        return str(reply["choices"][0]["text"]).strip()

    async def _get(self, path: str) -> Any:
        return await self._send("GET", path, None)

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        async with self._gate:
            return await self._send("POST", path, body)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """The reply's JSON. Waits and asks again where the server is overloaded or not ready; raises `InvalidInput` for
        what it refuses and `EngineUnavailable` where it gives nothing that can be used."""
        where = f"{str(self._client.base_url).rstrip('/')}{path}"
        for attempt in range(TRIES):
            try:
                reply = await self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                failure = f"{where}: {error!r}"
            else:
                if reply.status_code == 200:
                    return self._read(reply, where)
                failure = f"{where} answered {reply.status_code}: {reply.text[:200]}"
                if reply.status_code in (400, 413, 422):  # this question; the next may do
                    raise InvalidInput(failure, hint="see what it says", param="url")
                if reply.status_code not in (429, 500, 502, 503, 504):
                    raise EngineUnavailable(failure, hint="are its key and the model's name right?", param="url")
            if attempt + 1 < TRIES:
                await asyncio.sleep(0.5 * 2**attempt)
        raise EngineUnavailable(failure, hint="is the server up?", param="url")

    @staticmethod
    def _read(reply: httpx.Response, where: str) -> Any:
        try:
            read = reply.json()
            if not isinstance(read, dict) or not ({"choices", "data"} & read.keys()):
                raise ValueError
        except ValueError:
            hint = "is it an OpenAI-compatible server?"
            raise EngineUnavailable(f"{where} answered {reply.text[:200]!r}", hint=hint, param="url") from None
        return read
