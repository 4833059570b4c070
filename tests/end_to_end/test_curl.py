"""curl against a real `hopfix serve`: the endpoints as a shell sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
QUESTION = "Who runs the company that makes the Walkman?"


def curl(*arguments: str, body: object = None) -> str:
    data = () if body is None else ("-H", "content-type: application/json", "--data-binary", "@-")
    given = None if body is None else json.dumps(body)
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "60", *data, *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def test_models(server: Any) -> None:
    assert [model["id"] for model in json.loads(curl(f"{server.url}/v1/models"))["data"]] == ["demo", "demo:direct"]


def test_a_chat(server: Any) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}]}
    said = json.loads(curl(f"{server.url}/v1/chat/completions", body=body))
    assert said["choices"][0]["message"]["content"] == "Kenichiro Yoshida"
    assert said["hopfix"]["corrected"] is True


def test_a_stream_is_lines_of_data(server: Any) -> None:
    body = {"model": "demo", "prompt": "The currency of Japan is", "stream": True}
    said = curl("--include", f"{server.url}/v1/completions", body=body)
    head, _, events = said.partition("\n\n")
    assert "content-type: text/event-stream" in head
    lines = [line.removeprefix("data: ") for line in events.split("\n") if line]
    assert lines[-1] == "[DONE]"
    assert "".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1]) == " yen"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "demo", "prompt": "P", "suffix": "S"}, 400),
        ({"model": "gpt-4", "prompt": "P"}, 404),
        ("no object", 400),
    ],
)
def test_errors(server: Any, body: object, status: int) -> None:
    said = curl("--write-out", "\n%{http_code}", f"{server.url}/v1/completions", body=body)
    error, code = said.rsplit("\n", 1)
    assert int(code) == status
    assert set(json.loads(error)["error"]) == {"message", "type", "param", "code"}
