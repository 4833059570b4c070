"""LangChain: `Hopfix`, a Runnable from a question, with or without passages, to an AIMessage with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from correction.errors import InvalidInput
from service.client import AnswerObject
from service.pipelines.asking import URL, Service, evidence, extra
from service.schemas.answer import Strategy

with extra("langchain"):
    from langchain_core.documents import Document
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable, RunnableConfig


class Hopfix(Runnable[str | dict[str, Any], AIMessage]):
    """A question, or `{"question": ..., "context": ...}` as a retriever's chain gives it: documents or texts.

    The message's `response_metadata["hopfix"]` is the answer object. Raises `ClientError` as the client does.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        key: str | None = None,
        strategy: Strategy = "deployed",
        with_direct: bool = False,
    ) -> None:
        self.service = Service(url, key, strategy, with_direct)

    def invoke(self, input: str | dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """The answer, traced as LangChain traces every Runnable."""
        return self._call_with_config(lambda asked: _message(self.service.ask(*_read(asked))), input, config)

    async def ainvoke(
        self, input: str | dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """The same."""

        async def ask(asked: str | dict[str, Any]) -> AIMessage:
            return _message(await self.service.ask_async(*_read(asked)))

        return await self._acall_with_config(ask, input, config)


def _read(asked: str | Mapping[str, Any]) -> tuple[str, Iterable[str]]:
    if isinstance(asked, str):
        return asked, ()
    if not isinstance(asked, Mapping) or "question" not in asked:
        raise InvalidInput("the input is no question", hint='give a text, or {"question": ..., "context": [...]}')
    context = asked.get("context") or ()
    given = [context] if isinstance(context, str | Document) else context
    return asked["question"], [each.page_content if isinstance(each, Document) else each for each in given]


def _message(answer: AnswerObject) -> AIMessage:
    read, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return AIMessage(
        answer.answer,
        response_metadata={"hopfix": evidence(answer)},
        usage_metadata={"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
    )
