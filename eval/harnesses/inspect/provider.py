"""`--model hopfix/NAME --model-base-url URL`: questions to a hopfix service, its evidence in the output's metadata.

`-M strategy=two_step` and `-M with_direct=true` go with every question; the key is HOPFIX_API_KEY. Where evidence is
not wanted, Inspect's own `openai-api/hopfix/NAME` does as well.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

BUSY = (429, 503)
AT_ONCE = 16  # requests in flight
TIMEOUT = 120.0  # seconds: longer than the service's own deadline


class Refused(RuntimeError):
    """What the service answered in place of an answer."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__(f"hopfix answered {reply.status_code}: {reply.text}")
        self.status = reply.status_code


class HopfixAPI(ModelAPI):
    """A hopfix service as one of Inspect's models."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        strategy: str = "deployed",
        with_direct: bool = False,
    ) -> None:
        super().__init__(model_name, base_url, api_key, ["HOPFIX_API_KEY"], config or GenerateConfig())
        address = base_url or os.environ.get("HOPFIX_BASE_URL") or "http://127.0.0.1:8000"
        self.base_url = address.rstrip("/").removesuffix("/v1")  # openai-api/hopfix reads the same variable, with /v1
        self.fields = {"strategy": strategy, "with_direct": with_direct}
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        self._client = httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=TIMEOUT)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> tuple[ModelOutput, ModelCall]:
        """The answer to the last message of the user. Raises `Refused` with the service's own words."""
        if tools:
            raise ValueError("hopfix takes no tools: run a task without any")
        asked = [message.text for message in input if message.role == "user"]
        if not asked:
            raise ValueError("hopfix answers a message of the user, and there is none")
        request = {"question": asked[-1], **self.fields}
        reply = await self._client.post("/v1/answer", json=request)
        if reply.is_error:
            raise Refused(reply)
        answer = reply.json()
        message = ChatMessageAssistant(content=answer["answer"], source="generate", model=self.model_name)
        output = ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason="stop")],
            usage=_usage(answer["usage"]),
            metadata={"hopfix": answer},
        )
        return output, ModelCall.create(request=request, response=answer, time=reply.elapsed.total_seconds())

    def should_retry(self, ex: BaseException) -> bool:
        """A service that is busy, or cannot be reached just now."""
        return isinstance(ex, httpx.TransportError) or (isinstance(ex, Refused) and ex.status in BUSY)

    def is_auth_failure(self, ex: Exception) -> bool:
        """A key that the service does not know."""
        return isinstance(ex, Refused) and ex.status == 401

    def max_connections(self) -> int:
        """Requests in flight, unless --max-connections says otherwise."""
        return AT_ONCE

    def connection_key(self) -> str:
        """What shares the limit above."""
        return str(self.base_url)

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._client.aclose()


def _usage(usage: dict[str, Any]) -> ModelUsage:
    read, written = usage["prompt_tokens"], usage["completion_tokens"]
    return ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)
