"""LlamaIndex: `HopfixQueryEngine`, which answers by a hopfix service, reading what a retriever finds if it has one."""

from __future__ import annotations

from service.client import AnswerObject
from service.pipelines.asking import URL, Service, evidence, extra
from service.schemas.answer import Strategy

with extra("llamaindex"):
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.response.schema import Response
    from llama_index.core.schema import NodeWithScore, QueryBundle


class HopfixQueryEngine(BaseQueryEngine):
    """`query` and `aquery` give a Response: its `metadata["hopfix"]` is the answer object, its `source_nodes` what the
    retriever found. Raises `ClientError` as the client does.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        retriever: BaseRetriever | None = None,
        key: str | None = None,
        strategy: Strategy = "deployed",
        with_direct: bool = False,
    ) -> None:
        super().__init__(callback_manager=None)
        self.service = Service(url, key, strategy, with_direct)
        self.retriever = retriever

    def _query(self, query_bundle: QueryBundle) -> Response:
        nodes = self.retriever.retrieve(query_bundle) if self.retriever else []
        return _response(self.service.ask(query_bundle.query_str, _texts(nodes)), nodes)

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        nodes = await self.retriever.aretrieve(query_bundle) if self.retriever else []
        return _response(await self.service.ask_async(query_bundle.query_str, _texts(nodes)), nodes)

    def _get_prompt_modules(self) -> dict[str, object]:
        return {}  # the prompts are the service's


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [node.get_content() for node in nodes]


def _response(answer: AnswerObject, nodes: list[NodeWithScore]) -> Response:
    return Response(answer.answer, source_nodes=nodes, metadata={"hopfix": evidence(answer)})
