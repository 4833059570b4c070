"""Each framework's adapter, in the framework's own hands, and the framework's own OpenAI client against /v1."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from correction.errors import InvalidInput
from service.client import AnswerRequest, Client, NotAuthorised

pytestmark = pytest.mark.pipelines
QUESTION = "Who runs the company that makes the Walkman?"
OTHER = "Who runs the company that makes the iPhone?"
ANSWER = "Kenichiro Yoshida"
PASSAGE = "Sony has made the Walkman since 1979."
READ = [f"{PASSAGE}\nThe company that makes the Walkman is", f"{PASSAGE}\nWho runs {{}}?"]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """No framework phones home. They read this when they are imported, which the tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        patch.setenv("LANGSMITH_TRACING", "false")
        yield


@pytest.fixture(scope="module")
def expected(server: Any) -> dict[str, Any]:
    """The answer object that our client is given."""
    with Client(server.url) as hopfix:
        answer = timeless(hopfix.answer(QUESTION).model_dump(mode="json"))
    assert (answer["answer"], answer["corrected"]) == (ANSWER, True)
    return answer


def timeless(evidence: dict[str, Any]) -> dict[str, Any]:
    """What does not change from one time to the next."""
    return {name: value for name, value in evidence.items() if name != "timings_ms"}


def prompts(evidence: dict[str, Any]) -> list[str]:
    return [hop["prompt"] for hop in evidence["hops"]]


def direct_answer(url: str) -> str:
    with Client(url) as hopfix:
        return hopfix.answer(AnswerRequest(question=QUESTION, strategy="direct")).answer


def test_every_adapter_sends_its_key(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from haystack.utils import Secret

    from service.pipelines.dspy import Hopfix as Module
    from service.pipelines.haystack import HopfixReader
    from service.pipelines.langchain import Hopfix as Runnable
    from service.pipelines.llamaindex import HopfixQueryEngine

    monkeypatch.setenv("HOPFIX_API_KEY", "sesame")  # what the service asks for, and what Haystack's component sends
    server = start_server()
    server.wait_until_ready()
    url = server.url
    assert Runnable(url, key="sesame").invoke(QUESTION).content == ANSWER
    assert asyncio.run(Runnable(url, key="sesame").ainvoke(QUESTION)).content == ANSWER
    assert str(HopfixQueryEngine(url, key="sesame").query(QUESTION)) == ANSWER
    assert Module(url, key="sesame")(question=QUESTION).answer == ANSWER
    assert HopfixReader(url).run(QUESTION)["answers"][0].data == ANSWER
    with pytest.raises(NotAuthorised):
        Runnable(url).invoke(QUESTION)
    with pytest.raises(NotAuthorised):
        HopfixReader(url, key=Secret.from_token("open")).run(QUESTION)


class TestLangChain:
    def test_a_runnable_gives_a_message_with_its_evidence(self, server: Any, expected: dict[str, Any]) -> None:
        from service.pipelines.langchain import Hopfix

        hopfix = Hopfix(server.url)
        for message in (hopfix.invoke(QUESTION), asyncio.run(hopfix.ainvoke(QUESTION))):
            assert message.content == ANSWER
            assert timeless(message.response_metadata["hopfix"]) == expected
            assert message.usage_metadata["input_tokens"] == expected["usage"]["prompt_tokens"]
        for messages in (hopfix.batch([QUESTION, OTHER]), asyncio.run(hopfix.abatch([QUESTION, OTHER]))):
            assert [message.content for message in messages] == [ANSWER, "Tim Cook"]

    def test_in_a_chain_it_reads_what_a_retriever_finds(self, server: Any) -> None:
        from langchain_core.documents import Document
        from langchain_core.runnables import RunnableLambda, RunnablePassthrough

        from service.pipelines.langchain import Hopfix

        find = RunnableLambda(lambda question: [Document(page_content=PASSAGE)])
        chain = {"context": find, "question": RunnablePassthrough()} | Hopfix(server.url)
        assert prompts(chain.invoke(QUESTION).response_metadata["hopfix"]) == READ
        assert prompts(asyncio.run(chain.ainvoke(QUESTION)).response_metadata["hopfix"]) == READ
        for context in (PASSAGE, [PASSAGE], Document(page_content=PASSAGE)):
            message = Hopfix(server.url).invoke({"question": QUESTION, "context": context})
            assert prompts(message.response_metadata["hopfix"]) == READ

    def test_a_strategy_goes_with_every_question(self, server: Any) -> None:
        from service.pipelines.langchain import Hopfix

        message = Hopfix(server.url, strategy="two_step", with_direct=True).invoke(QUESTION)
        evidence = message.response_metadata["hopfix"]
        assert (evidence["strategy"], evidence["direct_answer"]) == ("two_step", direct_answer(server.url))

    def test_callbacks_hear_of_it_as_of_every_runnable(self, server: Any) -> None:
        from langchain_core.callbacks import BaseCallbackHandler

        from service.pipelines.langchain import Hopfix

        class Heard(BaseCallbackHandler):
            ends: list[Any]

            def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
                self.ends.append(outputs.content)

        heard = Heard()
        heard.ends = []
        Hopfix(server.url).invoke(QUESTION, {"callbacks": [heard]})
        assert heard.ends == [ANSWER]

    @pytest.mark.parametrize("given", [3, {"query": QUESTION}])
    def test_what_is_no_question_is_refused(self, server: Any, given: Any) -> None:
        from service.pipelines.langchain import Hopfix

        with pytest.raises(InvalidInput, match="give a text"):
            Hopfix(server.url).invoke(given)

    def test_chat_openai_is_corrected_and_loses_the_evidence(self, server: Any) -> None:
        from langchain_openai import ChatOpenAI

        def model(name: str) -> ChatOpenAI:
            return ChatOpenAI(model=name, base_url=f"{server.url}/v1", api_key="none")

        message = model("demo").invoke(QUESTION)
        assert message.content == ANSWER
        assert "hopfix" not in {**message.response_metadata, **message.additional_kwargs}
        assert "".join(chunk.content for chunk in model("demo").stream(QUESTION)) == ANSWER
        assert model("demo:direct").invoke(QUESTION).content.strip() == direct_answer(server.url) != ANSWER


class TestLlamaIndex:
    def test_a_query_engine_gives_a_response_with_its_evidence(self, server: Any, expected: dict[str, Any]) -> None:
        from service.pipelines.llamaindex import HopfixQueryEngine

        engine = HopfixQueryEngine(server.url)
        # Two event loops, one after the other: nothing of the first may be used in the second.
        for response in (engine.query(QUESTION), *(asyncio.run(engine.aquery(QUESTION)) for _ in range(2))):
            assert str(response) == ANSWER
            assert timeless(response.metadata["hopfix"]) == expected
            assert response.source_nodes == []

    def test_it_reads_what_its_retriever_finds(self, server: Any) -> None:
        from llama_index.core import SummaryIndex
        from llama_index.core.schema import TextNode

        from service.pipelines.llamaindex import HopfixQueryEngine

        retriever = SummaryIndex([TextNode(text=PASSAGE)]).as_retriever()
        engine = HopfixQueryEngine(server.url, retriever=retriever)
        for response in (engine.query(QUESTION), asyncio.run(engine.aquery(QUESTION))):
            assert prompts(response.metadata["hopfix"]) == READ
            assert [node.get_content() for node in response.source_nodes] == [PASSAGE]

    def test_openai_like_is_corrected_and_keeps_the_evidence_in_raw(self, server: Any, expected: Any) -> None:
        from llama_index.llms.openai_like import OpenAILike

        model = OpenAILike(
            model="demo", api_base=f"{server.url}/v1", api_key="none", is_chat_model=True, context_window=256
        )
        response = model.complete(QUESTION)
        assert response.text == ANSWER
        assert response.raw.hopfix["bridge"] == expected["bridge"]


class TestHaystack:
    def test_a_component_gives_an_answer_with_its_evidence(self, server: Any, expected: dict[str, Any]) -> None:
        from service.pipelines.haystack import HopfixReader

        reader = HopfixReader(server.url)
        for result in (reader.run(QUESTION), asyncio.run(reader.run_async(QUESTION))):
            [answer] = result["answers"]
            assert (answer.data, answer.query, answer.documents) == (ANSWER, QUESTION, [])
            assert timeless(answer.meta["hopfix"]) == expected

    def test_it_reads_documents(self, server: Any) -> None:
        from haystack import Document

        from service.pipelines.haystack import HopfixReader

        reader, documents = HopfixReader(server.url), [Document(content=PASSAGE), Document(content=None)]
        for result in (reader.run(QUESTION, documents), asyncio.run(reader.run_async(QUESTION, documents))):
            [answer] = result["answers"]
            assert prompts(answer.meta["hopfix"]) == READ
            assert answer.documents == documents

    def test_in_a_pipeline_it_reads_the_documents_and_is_saved_without_its_key(
        self, server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from haystack import Document, Pipeline
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        from service.pipelines.haystack import HopfixReader

        monkeypatch.setenv("HOPFIX_API_KEY", "secret")
        store = InMemoryDocumentStore()
        store.write_documents([Document(content=PASSAGE)])
        pipeline = Pipeline()
        pipeline.add_component("retriever", InMemoryBM25Retriever(store))
        pipeline.add_component("reader", HopfixReader(server.url))
        pipeline.connect("retriever.documents", "reader.documents")
        saved = pipeline.dumps()
        assert "secret" not in saved
        loaded = Pipeline.loads(saved, allowed_modules=["service.pipelines.haystack"])
        for each in (pipeline, loaded):  # the store is found again by its name
            [answer] = each.run({"retriever": {"query": QUESTION}, "reader": {"query": QUESTION}})["reader"]["answers"]
            assert prompts(answer.meta["hopfix"]) == READ
            assert [document.content for document in answer.documents] == [PASSAGE]

    def test_its_openai_generator_is_corrected_and_loses_the_evidence(self, server: Any) -> None:
        from haystack.components.generators.chat import OpenAIChatGenerator
        from haystack.dataclasses import ChatMessage
        from haystack.utils import Secret

        key = Secret.from_token("none")
        generator = OpenAIChatGenerator(model="demo", api_base_url=f"{server.url}/v1", api_key=key)
        [reply] = generator.run([ChatMessage.from_user(QUESTION)])["replies"]
        assert reply.text == ANSWER
        assert "hopfix" not in reply.meta


class TestDSPy:
    @pytest.fixture
    def lm(self, server: Any) -> Any:
        import dspy

        return dspy.LM("openai/demo", api_base=f"{server.url}/v1", api_key="none", cache=False)

    def test_a_module_gives_a_prediction_with_its_evidence(self, server: Any, expected: dict[str, Any]) -> None:
        from service.pipelines.dspy import Hopfix

        hopfix = Hopfix(server.url)
        for prediction in (hopfix(question=QUESTION), asyncio.run(hopfix.acall(question=QUESTION))):
            assert prediction.answer == ANSWER
            assert timeless(prediction.hopfix) == expected

    def test_it_reads_its_context(self, server: Any) -> None:
        from service.pipelines.dspy import Hopfix

        hopfix = Hopfix(server.url)
        assert prompts(hopfix(question=QUESTION, context=[PASSAGE]).hopfix) == READ
        assert prompts(asyncio.run(hopfix.acall(question=QUESTION, context=[PASSAGE])).hopfix) == READ

    def test_an_lm_is_sent_the_question_alone(self, lm: Any) -> None:
        import dspy

        from service.pipelines.dspy import QuestionAdapter

        predict = dspy.Predict(dspy.Signature("question -> answer", "Answer like a pirate."))
        predict.demos = [dspy.Example(question="Who?", answer="Me.")]
        with dspy.context(lm=lm, adapter=QuestionAdapter()):
            assert predict(question=QUESTION).answer == ANSWER
            assert asyncio.run(predict.acall(question=QUESTION)).answer == ANSWER
        for call in lm.history:
            assert call["messages"] == [{"role": "user", "content": QUESTION}]
            assert call["response"].provider_data["hopfix"]["corrected"]

    @pytest.mark.parametrize("signature", ["context, question -> answer", "question -> year: int", "query -> answer"])
    def test_a_signature_that_would_lose_something_is_refused(self, lm: Any, signature: str) -> None:
        import dspy

        from service.pipelines.dspy import QuestionAdapter

        inputs = dict.fromkeys(dspy.Signature(signature).input_fields, QUESTION)
        with dspy.context(lm=lm, adapter=QuestionAdapter()), pytest.raises(InvalidInput, match="question -> answer"):
            dspy.Predict(signature)(**inputs)
        assert lm.history == []

    def test_a_predictor_that_is_given_no_question_says_so(self, lm: Any) -> None:
        import dspy

        from service.pipelines.dspy import QuestionAdapter

        with dspy.context(lm=lm, adapter=QuestionAdapter()), pytest.raises(InvalidInput, match="no question"):
            dspy.Predict("question -> answer")()
        assert lm.history == []

    def test_with_dspys_own_adapter_nothing_is_corrected(self, lm: Any) -> None:
        import dspy
        from dspy.utils.exceptions import AdapterParseError

        with dspy.context(lm=lm), pytest.raises(AdapterParseError):  # so small a model follows no instructions either
            dspy.Predict("question -> answer")(question=QUESTION)
        for call in lm.history:
            evidence = call["response"].provider_data["hopfix"]
            assert evidence == {"corrected": False, "reason": "no two hops can be read from the prompt"}
