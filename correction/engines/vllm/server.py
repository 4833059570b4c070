"""A separate vLLM server, asked over its OpenAI API: the one module that is its client.

It sends token ids and reads token ids, so neither side's tokenizer matters. Starting the server is not its business.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from typing import Any

import httpx

from correction.engines.vllm.backend import Asked, Generated, Token, Told
from correction.engines.vllm.in_flight import InFlight
from correction.errors import EngineUnavailable, HopfixError, InvalidInput, PatchNotApplied
from correction.passes import Sampling

LOOK_SECONDS = 1.0  # between two looks at /health
SILENT_SECONDS = 10.0  # a server that says nothing for so long does not answer any more
FIRST_SECONDS = 60.0  # for one token at the start
_NEUTRAL = {  # the server's own defaults may be the model's, with penalties
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_REFUSALS = (400, 413, 422)
_PREFIX = "token_id:"
_DATA = b"data: "  # a line of a stream
_END = b"[DONE]"

logger = logging.getLogger(__name__)


class ServerVLLM:
    """The server at `url`, such as http://localhost:8000. `key` is its API key if it asks for one.

    `model` are the names that the model goes by here, `vocabulary` the number of its token ids.
    """

    restarts = 0

    def __init__(self, url: str, *, model: Collection[str], vocabulary: int, key: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._model = model
        self._vocabulary = vocabulary
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=SILENT_SECONDS),  # how long a pass may take its caller knows
            # As many as there are passes; an idle one is dropped before the server drops it after five seconds.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0),
        )
        self._served = ""
        self._in_flight = InFlight()
        self._watcher: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    async def start(self) -> int:
        """Reaches the server and has it generate a token, which proves more than what it says of itself."""
        await self._look()
        card = await self._card()
        self._served, root = str(card["id"]), str(card.get("root") or card["id"])
        if not {self._served, root} & {*self._model}:
            logger.warning("%s serves %s: is that the same model as %s?", self.url, root, " or ".join(self._model))
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self._generate(Asked((self._vocabulary - 1,), Sampling(1, 1), frozenset()), None)
        except TimeoutError:
            raise self._unavailable(f"no token within {FIRST_SECONDS:g} seconds") from None
        except InvalidInput as error:
            raise self._unavailable(f"it cannot be used for this model ({error})") from error
        self._watcher = asyncio.create_task(self._watch())
        return int(card["max_model_len"])

    @property
    def trouble(self) -> str | None:
        return self._trouble

    async def generate(self, asked: Asked, told: Told | None = None) -> Generated:
        """With sites, which vLLM reports on in whole answers alone, what is told comes at the end."""
        if self._watcher is None or self._trouble:
            raise self._unavailable(self._trouble or "it was not reached yet")
        return await self._in_flight.run(self._generate(asked, told))

    async def close(self) -> None:
        self._trouble = self._trouble or "the engine is closed"
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._in_flight.end()
        await self._client.aclose()

    async def _generate(self, asked: Asked, told: Told | None) -> Generated:
        body = self._body(asked)
        echoed = len(asked.prompt) if body["echo"] else 0  # tokens that come first; nothing predicts the very first
        prompt: list[Token] = []
        tokens: list[Token] = []
        reason = report = None
        answers = self._streamed(body) if told and asked.sites is None else self._whole(body)
        async with aclosing(answers):
            async for answer in answers:
                try:
                    choice = answer["choices"][0]
                    reason, given = choice["finish_reason"], choice["logprobs"]
                    prompt += _tokens(given, min(1, echoed), echoed)
                    new = _tokens(given, echoed)
                    report = (answer.get("kv_transfer_params") or {}).get("hopfix")
                except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                    raise self._unavailable(f"its completions cannot be read ({error!r})") from error
                tokens += new
                echoed = 0
                if told:
                    for token in new:
                        told(token)
        if reason not in ("stop", "length"):
            raise self._unavailable(f"it did not finish the pass ({reason})")
        return Generated(tuple(tokens), reason == "stop", tuple(prompt), report)

    def _body(self, asked: Asked) -> dict[str, Any]:
        sampling = asked.sampling
        echo = sampling.prompt_logprobs is not None
        body = {
            **_NEUTRAL,
            "model": self._served,
            "prompt": asked.prompt,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "max_tokens": sampling.max_tokens,
            "logprobs": min(max(sampling.top_logprobs, sampling.prompt_logprobs or 0), self._vocabulary),
            "echo": echo,  # and not prompt_logprobs, which are not streamed
            "return_token_ids": echo,  # and no text of the prompt
            "return_tokens_as_token_ids": True,  # of the tokens that came and of the likeliest ones
            "stop_token_ids": sorted(asked.stop),
            "ignore_eos": True,  # the stop tokens say it all
        }
        return body if asked.sites is None else {**body, "vllm_xargs": {"hopfix": asked.sites}}

    async def _whole(self, body: dict[str, Any]) -> AsyncGenerator[Any]:
        yield await self._json("POST", "/v1/completions", body)

    async def _streamed(self, body: dict[str, Any]) -> AsyncGenerator[Any]:
        """The answer chunk by chunk, each shaped like a whole one."""
        try:
            async with self._client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._refusal(response.status_code, _message(response), body)
                async for data in events(response.aiter_bytes()):
                    chunk = json.loads(data)
                    if error := chunk.get("error"):  # too late for a status
                        raise self._refusal(error.get("code"), str(error.get("message")), body)
                    if chunk.get("choices"):  # the last one may have the usage alone
                        yield chunk
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise self._unavailable(_words(error)) from error

    async def _card(self) -> dict[str, Any]:
        """What the server says of its model; adapters come after it."""
        answer = await self._json("GET", "/v1/models")
        try:
            card = dict(answer["data"][0])
            card["id"], card["max_model_len"] = str(card["id"]), int(card["max_model_len"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._unavailable(f"its /v1/models is not vLLM's ({error!r})") from error
        return card

    async def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = await self._client.request(method, path, json=body)
            if response.is_success:
                return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._unavailable(_words(error)) from error
        raise self._refusal(response.status_code, _message(response), body)

    def _refusal(self, status: int, message: str, body: dict[str, Any] | None) -> HopfixError:
        if status in _REFUSALS:
            return InvalidInput("vLLM refuses the pass", hint=message, param="prompt")
        if status in (401, 403):
            return self._unavailable(f"it wants another key than that of --vllm-key or HOPFIX_VLLM_KEY ({message})")
        if status == 500 and body and "vllm_xargs" in body:  # as the plugin ends what it could not do
            return PatchNotApplied("vLLM did not finish what was to be patched or read", hint=message)
        return self._unavailable(f"status {status} ({message})")

    async def _watch(self) -> None:
        while self._trouble is None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except EngineUnavailable as error:
                self._trouble = str(error)

    async def _look(self) -> None:
        try:
            response = await self._client.get("/health", timeout=SILENT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(_words(error)) from error
        if not response.is_success:
            raise self._unavailable(f"its /health says {response.status_code}")

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(f"the vLLM server at {self.url} cannot be used", hint=reason)


async def events(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of server-sent events. Lines end with a newline alone: a text may hold other line breaks as they are."""
    rest = b""
    async for part in stream:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            data = line.removeprefix(_DATA).strip()
            if line.startswith(_DATA) and data != _END:
                yield data


def _tokens(given: dict[str, Any], begin: int, end: int | None = None) -> list[Token]:
    columns = (given[name][begin:end] for name in ("tokens", "token_logprobs", "top_logprobs"))
    return [Token(_id(token), float(logprob), _best_first(top)) for token, logprob, top in zip(*columns, strict=True)]


def _id(token: str) -> int:
    if not token.startswith(_PREFIX):
        raise ValueError(f"{token!r} is not a token's id")
    return int(token[len(_PREFIX) :])


def _best_first(step: dict[str, float]) -> tuple[tuple[int, float], ...]:
    return tuple(sorted(((_id(token), float(logprob)) for token, logprob in step.items()), key=lambda item: -item[1]))


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
