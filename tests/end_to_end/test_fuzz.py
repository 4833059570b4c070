"""What the OpenAPI document allows, and what it does not, made up by schemathesis and sent to a real service.

Whatever comes: no 5xx, no hang, a status that the document names for that path, and a body and headers as it has them.
What is refused and what is accepted is not judged here, since the document cannot say all of it (hops without a `{}`).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import BaseModel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.openai.chats import ChatChunk
from service.openai.completions import CompletionChunk

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
OF_STREAMS = [not_a_server_error, status_code_conformance, response_headers_conformance]
CHECKS = [*OF_STREAMS, content_type_conformance, response_schema_conformance]
DEADLINE = "X-Deadline-Seconds"
# How many cases of either kind. Paths without a body have hardly any different ones.
CASES = {
    "/v1/answer": 600,
    "/v1/patchscope": 600,
    "/v1/tokenize": 200,
    "/v1/completions": 600,
    "/v1/chat/completions": 600,
}
CHUNKS: dict[str, type[BaseModel]] = {"/v1/completions": CompletionChunk, "/v1/chat/completions": ChatChunk}
SECONDS = 20.0  # that an answer may take here before it counts as a hang

operations = {
    operation.path: operation
    for operation in (
        result.ok() for result in schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text())).get_all_operations()
    )
}


@pytest.fixture(scope="module")
def fuzzed(launch: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service with small limits, so that they are met."""
    limits = ("--max-completion-tokens", "32", "--max-body-bytes", "65536", "--max-questions", "16")
    server = launch(tmp_path_factory.mktemp("fuzzed"), *limits)
    try:
        server.wait_until_ready()
        yield server
        assert requests.get(f"{server.url}/ready", timeout=SECONDS).status_code == 200
        metrics = requests.get(f"{server.url}/metrics", timeout=SECONDS).text
        assert "hopfix_questions_in_flight 0.0" in metrics
        assert "Traceback" not in server.log.read_text()
    finally:
        if server.process.poll() is None:
            server.stop()


def check_events(text: str, chunk: type[BaseModel]) -> None:
    """Of a stream the document can only say in words what each event is."""
    events = [event.removeprefix("data: ") for event in text.split("\n\n")]
    assert events[-2:] == ["[DONE]", ""]
    for event in events[:-2]:
        chunk.model_validate_json(event, strict=True)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", CASES)
def test_whatever_comes_is_answered_as_the_document_says(fuzzed: Any, path: str, mode: GenerationMode) -> None:
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=CASES[path],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operations[path].as_strategy(mode))
    def check(case: Any) -> None:
        with contextlib.suppress(KeyError, ValueError, TypeError):
            if 0 < float(case.headers[DEADLINE]) < SECONDS:
                case.headers[DEADLINE] = str(SECONDS)  # less would rightly be a 504
        if mode.is_positive and isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = ("demo", "demo:direct")[len(case.body["model"]) % 2]  # no document has these names
        response = case.call(base_url=fuzzed.url, session=session, timeout=SECONDS)
        if response.headers["content-type"][0].startswith("text/event-stream"):
            check_events(response.text, CHUNKS[path])
            case.validate_response(response, checks=OF_STREAMS)
        else:
            case.validate_response(response, checks=CHECKS)
        statuses[response.status_code] += 1

    with requests.Session() as session:
        check()
    print(f"{path}, {mode}: {statuses.total()} cases, {dict(sorted(statuses.items()))}")  # noqa: T201
    assert statuses.total() >= CASES[path]


def test_these_are_5000_cases() -> None:
    assert len(GenerationMode) * sum(CASES.values()) >= 5000
