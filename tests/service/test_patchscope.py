"""POST /v1/patchscope, on the demo model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from correction import patchscope
from service.schemas import OutcomeObject, PatchscopeRequest
from service.schemas import patchscope as schemas

pytestmark = pytest.mark.anyio
SOURCE = {"prompt": "The country where Kruger National Park is located is", "layer": 6}
TARGET = {"prompt": "The currency of x is", "layer": 0, "position": "x"}
CURRENCY = {"source": SOURCE, "target": TARGET, "mapping": "vocabulary"}


def error(response: httpx.Response) -> dict[str, Any]:
    assert "Traceback" not in response.text
    return response.json()["error"]


async def test_it_says_what_the_inspector_says(connect_demo) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/patchscope", json={**CURRENCY, "top": 3})
    assert response.status_code == 200
    outcome = OutcomeObject.model_validate(response.json())
    assert outcome.text == "rand"
    assert len(outcome.tokens) == len(outcome.logprobs) == 2
    assert len(outcome.alternatives) == 3
    assert outcome.notes == []
    assert outcome.patchscope.source.prompt == SOURCE["prompt"]
    assert PatchscopeRequest.parse(response.json()["patchscope"]).fields() == PatchscopeRequest.parse(CURRENCY).fields()


async def test_spans_grafts_chains_and_token_ids(connect_demo) -> None:
    async with connect_demo() as client:
        told = (await client.post("/v1/tokenize", json={"text": TARGET["prompt"]})).json()
        ids = [token["id"] for token in told["tokens"]]
        [at] = [n for n, token in enumerate(told["tokens"]) if token["text"].strip() == "x"]
        scopes = [
            {**CURRENCY, "target": {**TARGET, "prompt": ids, "position": at}},
            {**CURRENCY, "mapping": "vocabulary+norm_matched"},
            {**CURRENCY, "also": [{"source": SOURCE, "layer": 1, "position": "of", "mapping": "identity"}]},
            {
                **CURRENCY,
                "source": {**SOURCE, "position": [-2, "is"], "layer": [3, 6], "model": "demo"},
                "target": {**TARGET, "position": ["of", "x"]},
            },
        ]
        outcomes = (await client.post("/v1/patchscope", json=scopes)).json()
    assert all("error" not in outcome for outcome in outcomes), outcomes
    assert outcomes[0]["text"] == "rand"


async def test_a_list_is_judged_entry_by_entry_and_comes_as_lines_where_they_are_taken(connect_demo) -> None:
    body = [CURRENCY, {**CURRENCY, "mapping": "magic"}, "no object", CURRENCY]
    async with connect_demo() as client:
        listed = await client.post("/v1/patchscope", json=body)
        lines = await client.post("/v1/patchscope", json=body, headers={"Accept": "application/x-ndjson"})
    assert [outcome.get("text") for outcome in listed.json()] == ["rand", None, None, "rand"]
    assert [outcome["error"]["code"] for outcome in listed.json()[1:3]] == ["invalid_input", "invalid_fields"]
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == listed.json()


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"mapping": "magic"}, 400, "mapping"),
        ({"mapping": "fitted"}, 400, "mapping"),
        ({"mapping": ""}, 422, "mapping"),
        ({"mapping": "identity+"}, 400, "mapping"),
        ({"mapping": "vocabulary+hard_token"}, 400, "mapping"),
        ({"mapping": "token"}, 400, "mapping"),
        ({"source": {**SOURCE, "layer": 7}}, 400, "layer"),
        ({"source": {**SOURCE, "layer": -1}}, 422, "source.layer"),
        ({"source": {**SOURCE, "position": 99}}, 400, "position"),
        ({"source": {**SOURCE, "position": "Mars"}}, 400, "position"),
        ({"source": {**SOURCE, "position": [0, 1]}}, 400, "position"),
        ({"source": {**SOURCE, "layer": [1, 2]}}, 400, "layer"),
        ({"source": {**SOURCE, "model": "gpt2"}}, 404, "source.model"),
        ({"target": {**TARGET, "model": "../demo"}}, 404, "target.model"),
        ({"also": [{"source": {**SOURCE, "model": "gpt2"}, "layer": 1}]}, 404, "also.0.source.model"),
        ({"also": [{"source": SOURCE, "layer": 1, "mapping": "magic"}]}, 400, "also.0.mapping"),
        ({"also": [{"source": SOURCE, "layer": 1}] * 9}, 422, "also"),
        ({"source": {**SOURCE, "prompt": [1, 1 << 20]}}, 400, "prompt"),
        ({"source": {**SOURCE, "prompt": []}}, 422, "source.prompt"),
        ({"source": {**SOURCE, "prompt": "is " * 2000}}, 400, "prompt"),
        ({"source": {**SOURCE, "prompt": "is" * 5000}}, 422, "source.prompt"),
        ({"target": {**TARGET, "position": ["x"] * 20}}, 422, None),
        ({"max_tokens": 0}, 422, "max_tokens"),
        ({"max_tokens": 2000}, 400, "max_tokens"),
        ({"max_tokens": 500}, 400, "prompt"),
        ({"top": 101}, 422, "top"),
        ({"colour": "red"}, 422, "colour"),
        ({"source": None}, 422, "source"),
    ],
)
async def test_what_cannot_be_run_says_why(
    connect_demo, change: dict[str, Any], status: int, param: str | None
) -> None:
    async with connect_demo() as client:
        response = await client.post("/v1/patchscope", json=CURRENCY | change)
    assert (response.status_code, error(response)["param"]) == (status, param)


async def test_no_file_is_opened_for_a_request(connect_demo, tmp_path: Path) -> None:
    file = tmp_path / "mapping.safetensors"
    file.write_bytes(b"not one")
    async with connect_demo() as client:
        for mapping in (str(file)[-64:], "../mapping.safetensors", f"identity+{str(file)[-50:]}"):
            response = await client.post("/v1/patchscope", json={**CURRENCY, "mapping": mapping})
            assert response.status_code == 400
            assert error(response)["message"].startswith("unknown mapping")


async def test_an_engine_that_cannot_patch_says_so(connect, corrector) -> None:
    corrector.engine.can_patch = False
    async with connect() as client:
        response = await client.post("/v1/patchscope", json=CURRENCY)
    assert (response.status_code, error(response)["code"]) == (400, "invalid_input")


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        (schemas.Point, patchscope.Source),
        (schemas.Point, patchscope.Target),
        (schemas.Graft, patchscope.Graft),
        (schemas.PatchscopeFields, patchscope.Patchscope),
    ],
)
async def test_fields_and_defaults_are_the_frameworks(schema: Any, source: Any) -> None:
    def defaults(model: Any) -> dict[str, Any]:
        fields = {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    assert defaults(schema) == defaults(source)
