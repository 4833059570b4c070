"""LlamaIndex: a query engine, alone and behind a retriever whose nodes stand before the prompt of each hop."""

from llama_index.core import SummaryIndex
from llama_index.core.schema import TextNode

from service.pipelines.llamaindex import HopfixQueryEngine

question = "Who runs the company that makes the Walkman?"
response = HopfixQueryEngine("http://127.0.0.1:8000").query(question)
print(response, "via", response.metadata["hopfix"]["bridge"]["text"])

retriever = SummaryIndex([TextNode(text="Sony has made the Walkman since 1979.")]).as_retriever()
read = HopfixQueryEngine("http://127.0.0.1:8000", retriever=retriever).query(question)
print(read.metadata["hopfix"]["hops"][0]["prompt"])
