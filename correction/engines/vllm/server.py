"""A separate vLLM server, asked over its OpenAI API: the one module that is its client.

It sends token ids and reads token ids, so neither side's tokenizer matters. Starting the server is not its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

import httpx

from correction.engines.vllm.backend import Asked, Generated
from correction.engines.vllm.in_flight import InFlight
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied

LOOK_SECONDS = 1.0  # between two looks at /health
SILENT_SECONDS = 10.0  # a server that says nothing for so long does not answer any more
FIRST_SECONDS = 60.0  # for one token at the start
_NEUTRAL = {  # the server's own defaults may be the model's, with penalties; greedy is greedy
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_REFUSALS = (400, 413, 422)
_PREFIX = "token_id:"

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
                await self._generate(Asked((self._vocabulary - 1,), 1, 1, frozenset()))
        except TimeoutError:
            raise self._unavailable(f"no token within {FIRST_SECONDS:g} seconds") from None
        except InvalidInput as error:
            raise self._unavailable(f"it cannot be used for this model ({error})") from error
        self._watcher = asyncio.create_task(self._watch())
        return int(card["max_model_len"])

    @property
    def trouble(self) -> str | None:
        return self._trouble

    async def generate(self, asked: Asked) -> Generated:
        if self._watcher is None or self._trouble:
            raise self._unavailable(self._trouble or "it was not reached yet")
        return await self._in_flight.run(self._generate(asked))

    async def close(self) -> None:
        self._trouble = self._trouble or "the engine is closed"
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._in_flight.end()
        await self._client.aclose()

    async def _generate(self, asked: Asked) -> Generated:
        body = {
            **_NEUTRAL,
            "model": self._served,
            "prompt": asked.prompt,
            "max_tokens": asked.max_tokens,
            "logprobs": min(asked.top_logprobs, self._vocabulary),
            "return_tokens_as_token_ids": True,  # of the tokens that came and of the likeliest ones
            "stop_token_ids": sorted(asked.stop),
            "ignore_eos": True,  # the stop tokens say it all
        }
        if asked.sites is not None:
            body["vllm_xargs"] = {"hopfix": asked.sites}
        answer = await self._json("POST", "/v1/completions", body)
        try:
            choice = answer["choices"][0]
            reason, given = choice["finish_reason"], choice["logprobs"]
            tokens = tuple(_id(token) for token in given["tokens"])
            logprobs = tuple(float(logprob) for logprob in given["token_logprobs"])
            steps = tuple(_best_first(step) for step in given["top_logprobs"])
            report = (answer.get("kv_transfer_params") or {}).get("hopfix")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self._unavailable(f"its completions cannot be read ({error!r})") from error
        if reason not in ("stop", "length"):
            raise self._unavailable(f"it did not finish the pass ({reason})")
        return Generated(tokens, logprobs, steps, reason == "stop", report)

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
        message = _message(response)
        if response.status_code in _REFUSALS:
            raise InvalidInput("vLLM refuses the pass", hint=message, param="prompt")
        if response.status_code in (401, 403):
            raise self._unavailable(f"it wants another key than that of --vllm-key or HOPFIX_VLLM_KEY ({message})")
        if response.status_code == 500 and body and "vllm_xargs" in body:  # as the plugin ends what it could not do
            raise PatchNotApplied("vLLM did not finish what was to be patched or read", hint=message)
        raise self._unavailable(f"status {response.status_code} ({message})")

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
