"""The OpenAPI document: committed, valid, and true of what the service answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.openapi import document
from service.settings import Settings

pytestmark = pytest.mark.anyio
COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
QUESTION = {"question": "Who runs the company that makes the Walkman?"}
PROMPT = {"model": "demo", "prompt": "The currency of Japan is"}
CHAT = {"model": "demo", "messages": [{"role": "user", "content": QUESTION["question"]}]}
SCOPE = {
    "source": {"prompt": "The country where Kruger National Park is located is", "layer": 6},
    "target": {"prompt": "The currency of x is", "layer": 0, "position": "x"},
    "mapping": "vocabulary",
}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(create_app(Settings.read()))


def test_the_committed_document_is_this_versions(made: dict[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert committed == made, "the API has changed: run 'make openapi' and commit docs/openapi.json"


def test_it_is_valid(made: dict[str, Any]) -> None:
    from openapi_spec_validator import validate

    validate(made)


def test_every_route_is_in_it_with_every_response_described(made: dict[str, Any]) -> None:
    assert {"/v1/answer", "/v1/patchscope", "/v1/tokenize", "/v1/profile", "/v1/profile/reload"} <= set(made["paths"])
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            assert operation["description"], path
            if method == "post" and path != "/v1/profile/reload":
                assert operation["requestBody"]["required"]
            for status, response in operation["responses"].items():
                assert all(content["schema"] for content in response["content"].values()), (path, status)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/answer", QUESTION, 200),
        ("POST", "/v1/answer", [QUESTION, {"question": ""}], 200),
        ("POST", "/v1/answer", {"question": ""}, 400),
        ("POST", "/v1/answer", {"questoin": ""}, 422),
        ("POST", "/v1/patchscope", SCOPE, 200),
        ("POST", "/v1/patchscope", [SCOPE, {}], 200),
        ("POST", "/v1/patchscope", {**SCOPE, "mapping": "magic"}, 400),
        ("POST", "/v1/tokenize", {"text": "a"}, 200),
        ("POST", "/v1/completions", {**PROMPT, "echo": True, "logprobs": 2}, 200),
        ("POST", "/v1/completions", {**PROMPT, "prompt": [QUESTION["question"], "P"], "n": 2}, 200),
        ("POST", "/v1/completions", {**PROMPT, "suffix": "S"}, 400),
        ("POST", "/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}, 200),
        ("POST", "/v1/chat/completions", CHAT, 200),
        ("POST", "/v1/chat/completions", {**CHAT, "model": "other"}, 404),
        ("GET", "/v1/models/demo", None, 200),
        ("GET", "/v1/profile", None, 200),
        ("GET", "/v1/models", None, 200),
        ("GET", "/health", None, 200),
        ("GET", "/ready", None, 200),
    ],
)
async def test_answers_are_as_it_says(
    connect_demo, made: dict[str, Any], method: str, path: str, body: Any, status: int
) -> None:
    from jsonschema import Draft202012Validator

    async with connect_demo() as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    pattern = "/v1/models/{model}" if path.startswith("/v1/models/") else path
    described = made["paths"][pattern][method.lower()]["responses"][str(status)]["content"]["application/json"][
        "schema"
    ]
    Draft202012Validator({**described, "components": made["components"]}).validate(response.json())


async def test_the_service_gives_it(connect, made: dict[str, Any]) -> None:
    async with connect() as client:
        given = (await client.get("/openapi.json")).json()
    assert given == made
