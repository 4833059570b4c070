"""LangChain: a Runnable whose message says how the answer came about, and ChatOpenAI, whose message does not."""

from langchain_openai import ChatOpenAI

from service.pipelines.langchain import Hopfix

question = "Who runs the company that makes the Walkman?"
message = Hopfix("http://127.0.0.1:8000").invoke(question)
print(message.content, "via", message.response_metadata["hopfix"]["bridge"]["text"])

plain = ChatOpenAI(model="demo", base_url="http://127.0.0.1:8000/v1", api_key="none")
print(plain.invoke(question).content)
