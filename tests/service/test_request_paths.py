"""No request names a file or a hub model: what would be right on the command line is refused over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from correction.mappings import mapping_named, save_mapping
from correction.mappings.affine import Affine
from correction.mappings.fitted import Fitted
from correction.models import LoadedModel, demo_folder

pytestmark = pytest.mark.anyio
HOPS = {"hop1": "The country where Kruger National Park is located is", "hop2": "The currency of {} is"}
SOURCE = {"prompt": "The country where Kruger National Park is located is", "layer": 6}
TARGET = {"prompt": "The currency of x is", "layer": 0, "position": "x"}
MODELS = (str(demo_folder()), "../model", "gpt2", "org/model", "file:///etc/passwd", "demo/", "demo:direct/..", ".")


@pytest.fixture
def mapping(demo: LoadedModel, tmp_path: Path) -> str:
    """The file of a mapping that is right for the served model."""
    fitted = Fitted("ridge", "made by hand", demo.fingerprint, demo.fingerprint, 6, 0, pairs=1, explained=0.0)
    path = tmp_path / "m.safetensors"
    save_mapping(Affine(fitted, weight=torch.eye(128), bias=torch.zeros(128)), path)
    assert mapping_named(str(path))
    return str(path)


async def test_a_mapping_is_no_file(connect_demo, mapping: str) -> None:
    scope = {"source": SOURCE, "target": TARGET}
    graft = {"source": SOURCE, "layer": 0, "position": "x"}
    async with connect_demo() as client:
        for name in (mapping, f"identity+{mapping}", "/etc/passwd", "../m.safetensors", "m.safetensors"):
            for path, body, param in (
                ("/v1/answer", {**HOPS, "mapping": name}, "mapping"),
                ("/v1/patchscope", {**scope, "mapping": name}, "mapping"),
                ("/v1/patchscope", {**scope, "also": [{**graft, "mapping": name}]}, "also.0.mapping"),
            ):
                refused = await client.post(path, json=body)
                assert refused.status_code in (400, 422), refused.text
                assert refused.json()["error"]["param"] == param


@pytest.mark.parametrize("name", MODELS)
async def test_a_model_is_one_that_is_served(connect_demo, name: str) -> None:
    async with connect_demo() as client:
        for path, body in (
            ("/v1/completions", {"model": name, "prompt": "Q"}),
            ("/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "Q"}]}),
            ("/v1/patchscope", {"source": {**SOURCE, "model": name}, "target": TARGET}),
            ("/v1/patchscope", {"source": SOURCE, "target": {**TARGET, "model": name}}),
        ):
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found"), refused.text


async def test_what_a_command_line_takes_is_unknown_to_a_request(connect_demo) -> None:
    async with connect_demo() as client:
        for field in ("profile", "engine", "device", "files", "folder", "trust_remote_code"):
            refused = await client.post("/v1/answer", json={**HOPS, field: "/etc"})
            assert (refused.status_code, refused.json()["error"]["param"]) == (422, field)


async def test_a_clients_chat_template_is_not_run(connect_demo) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "The capital of France is"}], "max_tokens": 4}
    async with connect_demo() as client:
        plain = await client.post("/v1/chat/completions", json=body)
        given = await client.post("/v1/chat/completions", json={**body, "chat_template": "{{ 1 / 0 }}"})
    assert plain.status_code == 200
    assert given.status_code == 400 or given.json()["choices"] == plain.json()["choices"]
