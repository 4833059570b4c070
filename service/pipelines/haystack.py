"""Haystack: `HopfixReader`, a component from a query, and documents if a retriever found any, to an answer."""

from __future__ import annotations

from service.client import AnswerObject
from service.pipelines.asking import URL, Service, evidence, extra
from service.schemas.answer import Strategy

with extra("haystack"):
    from haystack import Document, component
    from haystack.dataclasses import GeneratedAnswer
    from haystack.utils import Secret

KEY = Secret.from_env_var("HOPFIX_API_KEY", strict=False)


@component
class HopfixReader:
    """One answer in `answers`: its `meta["hopfix"]` is the answer object. Raises `ClientError` as the client does.

    A pipeline that is saved names where the key comes from, never the key.
    """

    def __init__(
        self,
        url: str = URL,
        key: Secret | None = KEY,
        strategy: Strategy = "deployed",
        with_direct: bool = False,
    ) -> None:
        self.url = url
        self.key = key
        self.strategy = strategy
        self.with_direct = with_direct
        self._service = Service(url, key.resolve_value() if key else None, strategy, with_direct)

    @component.output_types(answers=list[GeneratedAnswer])
    def run(self, query: str, documents: list[Document] | None = None) -> dict[str, list[GeneratedAnswer]]:
        """Asks the query."""
        return _answers(self._service.ask(query, _texts(documents)), query, documents)

    @component.output_types(answers=list[GeneratedAnswer])
    async def run_async(self, query: str, documents: list[Document] | None = None) -> dict[str, list[GeneratedAnswer]]:
        """The same."""
        return _answers(await self._service.ask_async(query, _texts(documents)), query, documents)


def _texts(documents: list[Document] | None) -> list[str]:
    return [document.content for document in documents or () if document.content]


def _answers(answer: AnswerObject, query: str, documents: list[Document] | None) -> dict[str, list[GeneratedAnswer]]:
    meta = {"hopfix": evidence(answer)}
    return {"answers": [GeneratedAnswer(answer.answer, query=query, documents=documents or [], meta=meta)]}
