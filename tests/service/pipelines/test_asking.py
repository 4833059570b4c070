"""What the adapters of pipelines share; end_to_end/test_reading.py and test_pipelines.py ask a real service."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from correction import strategies
from correction.errors import InvalidInput
from service.client import AnswerRequest, Unreachable
from service.errors import InvalidFields
from service.pipelines import asking
from service.pipelines.asking import Service, reading

QUESTION = "Who runs the company that makes the Walkman?"
PASSAGE = "Sony has made the Walkman since 1979."
ADAPTERS = {"langchain": "langchain_core", "llamaindex": "llama_index", "haystack": "haystack", "dspy": "dspy"}


def test_a_passage_stands_before_each_hop_and_before_the_plain_question() -> None:
    asked = reading(AnswerRequest(question=QUESTION, with_direct=True), [PASSAGE])
    assert asked == AnswerRequest(
        hop1=f"{PASSAGE}\nThe company that makes the Walkman is",
        hop2=f"{PASSAGE}\nWho runs {{}}?",
        direct=f"{PASSAGE}\n{QUESTION}",
        with_direct=True,
    )
    assert asked.to_question().direct_text == f"{PASSAGE}\n{QUESTION}"


def test_several_passages_are_a_line_each_and_empty_ones_none() -> None:
    asked = reading(AnswerRequest(question=QUESTION), ["One,\n  and a half.", " ", "Two."])
    assert asked.hop1 == "One, and a half.\nTwo.\nThe company that makes the Walkman is"


def test_one_text_is_one_passage() -> None:
    question = AnswerRequest(question=QUESTION)
    assert reading(question, PASSAGE) == reading(question, [PASSAGE])


def test_a_blank_in_a_passage_is_none() -> None:
    asked = reading(AnswerRequest(question=QUESTION), ["A set is written {}, or {{}}."])
    assert asked.hop2 == "A set is written { }, or {{ }}.\nWho runs {}?"
    asked.to_question()  # raises for a hop with two blanks


def test_hops_that_are_given_are_kept() -> None:
    chain = AnswerRequest(id="a", hop1="The maker of X is", hop2="The head of {} is", hop3="The wife of {} is")
    asked = reading(chain, ["P"])
    assert [asked.hop1, asked.hop2, asked.hop3, asked.hop4] == [
        "P\nThe maker of X is",
        "P\nThe head of {} is",
        "P\nThe wife of {} is",
        None,
    ]
    assert asked.id == "a"
    assert asked.direct == "P\nThe wife of the head of the maker of X is"


@pytest.mark.parametrize(("strategy", "becomes"), [("deployed", "direct"), ("step_by_step", "step_by_step")])
def test_a_question_without_hops_is_asked_whole(strategy: str, becomes: str) -> None:
    asked = reading(AnswerRequest.parse({"question": "Who runs Sony?", "strategy": strategy}), ["P"])
    assert asked == AnswerRequest.parse({"question": "P\nWho runs Sony?", "strategy": becomes})


def test_the_strategies_that_split_no_question_are_the_correctors() -> None:
    assert set(asking.WHOLE) == set(strategies.WHOLE)


@pytest.mark.parametrize("wrong", [3, None, b"Sony"])
def test_what_is_no_text_is_no_passage(wrong: object) -> None:
    with pytest.raises(InvalidInput, match="a passage is no text"):
        reading(AnswerRequest(question=QUESTION), ["Sony made it.", wrong])  # type: ignore[list-item]


def test_without_passages_nothing_changes() -> None:
    asked = AnswerRequest(question=QUESTION)
    assert reading(asked, []) is asked
    assert reading(asked, ["", " \n"]) is asked


def test_what_cannot_be_asked_is_said_before_it_is_sent() -> None:
    with pytest.raises(InvalidFields, match="question"):
        Service().ask("?" * 8193)
    with pytest.raises(InvalidFields, match="strategy"):
        Service(strategy="nonsense").ask(QUESTION)  # type: ignore[arg-type]


def test_no_service_is_said_by_its_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(Unreachable, match=url):
        Service(url).ask(QUESTION)


def test_a_key_is_not_printed() -> None:
    assert "secret" not in repr(Service(key="secret"))


def test_every_adapter_is_tried_here() -> None:
    files = {path.stem for path in (Path(__file__).parents[3] / "service" / "pipelines").glob("*.py")}
    assert files == {*ADAPTERS, "asking", "__init__"}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_missing_framework_is_named_with_its_extra(adapter: str) -> None:
    # None in sys.modules is what makes an import fail, also where the framework is installed.
    code = f"""
import sys
sys.modules[{ADAPTERS[adapter]!r}] = None
from correction.errors import InvalidInput
from correction.errors import HopfixError
try:
    import service.pipelines.{adapter}
except ImportError as error:
    print(isinstance(error, HopfixError), error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"True pip install 'hopfix[{adapter}]'\n"


def test_what_they_share_imports_neither_torch_nor_a_framework() -> None:
    heavy = {"torch", "fastapi", *ADAPTERS.values()}
    code = f"import sys, service.pipelines.asking; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
