"""docs/http.md: its snippets run against a real service, and it names every endpoint."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "http.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
CURL = re.findall(r"curl -s localhost:8000(\S+) .*?-d '(.*?)'\n", GUIDE, re.S)


@pytest.mark.parametrize(
    ("snippet", "prints"),
    [
        (PYTHON[0], "Kenichiro Yoshida via Sony\nrand\nTim Cook\nrand\n"),
        (PYTHON[1], "['Kenichiro Yoshida', 'Tim Cook']\nRefused 400 question\n"),
    ],
)
def test_the_python_snippets_run(server: Any, snippet: str, prints: str) -> None:
    code = snippet.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, prints), done.stderr


def test_the_bodies_for_curl_are_answered(client: httpx.Client) -> None:
    assert [path for path, _ in CURL] == ["/v1/answer", "/v1/patchscope", "/v1/chat/completions"]
    for path, body in CURL:
        assert client.post(path, json=json.loads(body)).status_code == 200


def test_every_endpoint_is_named() -> None:
    paths = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))["paths"]
    missing = {path for path in paths if f"{path.partition('/{')[0]}`" not in GUIDE}
    assert not missing
