"""Haystack: a pipeline from a query to its documents and on to an answer with its evidence."""

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from service.pipelines.haystack import HopfixReader

question = "Who runs the company that makes the Walkman?"
[answer] = HopfixReader("http://127.0.0.1:8000").run(question)["answers"]
print(answer.data, "via", answer.meta["hopfix"]["bridge"]["text"])

store = InMemoryDocumentStore()
store.write_documents([Document(content="Sony has made the Walkman since 1979.")])
pipeline = Pipeline()
pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=1))
pipeline.add_component("reader", HopfixReader("http://127.0.0.1:8000"))
pipeline.connect("retriever.documents", "reader.documents")
[read] = pipeline.run({"retriever": {"query": question}, "reader": {"query": question}})["reader"]["answers"]
print(read.meta["hopfix"]["hops"][0]["prompt"])
