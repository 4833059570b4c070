"""The OpenAPI document: what FastAPI reads from the routes, and what all of them have in common.

docs/openapi.json is what `make openapi` writes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.errors import codes
from service.schemas import ErrorBody

LINES = "application/x-ndjson"
REF = "#/components/schemas/{model}"
_PROBES = ("/health", "/ready")  # for those who have no key
_RELOAD = "/v1/profile/reload"
_OF_BODIES = (400, 408, 413, 422)
_DESCRIPTION = """Asks a language model two-hop questions and corrects its reasoning by patching hidden states.

Every error has OpenAI's body, `{"error": {"message", "type", "param", "code"}}`."""
_KEY = "An API key, where the service asks for one."
_DEADLINE = {
    "name": "X-Deadline-Seconds",
    "in": "header",
    "description": "The most time for an answer, where it is to be less than the service's own.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_HEADERS = {
    "X-Request-ID": {"description": "What the service's log calls this request.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}


def one_or_list(one: type[BaseModel], failed: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that takes one thing or a list of them, as JSON or as lines."""
    says = f"With `Accept: {LINES}` a line of JSON for each, in their order: {one.__name__} or {failed.__name__}."
    lines = {LINES: {"schema": {"type": "string", "description": says}}}
    either = one | list[one | failed]  # type: ignore[valid-type]
    return {200: {"model": either, "content": lines, "description": "One for one, a list for a list."}}


def body_or_events(body: type[BaseModel], chunk: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The responses of a route of OpenAI's, as JSON or as server-sent events."""
    says = (
        f"With `stream` each event's data is a {chunk.__name__}, or an error's body, which ends it; the last is [DONE]."
    )
    events = {"text/event-stream": {"schema": {"type": "string", "description": says}}}
    return {200: {"model": body, "content": events, "description": "What was said."}}


def document(app: FastAPI) -> dict[str, Any]:
    """The application's document."""
    made: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=_DESCRIPTION, routes=app.routes
    )
    schemas: dict[str, Any] = {}
    made = _hoisted(made, schemas)
    components = made.setdefault("components", {})
    schemas = components.get("schemas", {}) | schemas | _schema_of(ErrorBody)
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no route answers with
        schemas.pop(name, None)
    components["schemas"] = dict(sorted(schemas.items()))
    components["headers"] = _HEADERS
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": _KEY}}
    for path, operation in _operations(made):
        if path not in _PROBES:
            operation["security"] = [{"key": []}, {}]
        if "requestBody" in operation:
            operation["parameters"] = [*operation.get("parameters", []), _DEADLINE]
        responses = operation["responses"]
        responses.pop("422", None)
        for status, named in _errors(path, "requestBody" in operation):
            responses.setdefault(str(status), _error(named))
        for status, response in responses.items():
            names = ["X-Request-ID", *(["Retry-After"] if status in ("429", "503", "504") else [])]
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        operation["responses"] = dict(sorted(responses.items()))
    return made


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in made["paths"].items():
        for operation in methods.values():
            yield path, operation


def _errors(path: str, takes_body: bool) -> Iterator[tuple[int, list[str]]]:
    """The errors that an operation may answer with."""
    for status, named in codes().items():
        of_path = {409: path == _RELOAD, 503: path == "/ready"}.get(status, False)
        of_kind = path.startswith("/v1/") and status != 409 and (takes_body or status not in _OF_BODIES)
        if of_path or of_kind:
            yield status, named


def _error(named: list[str]) -> dict[str, Any]:
    says = f"Its code is {' or '.join(dict.fromkeys(named))}."
    return {"description": says, "content": {"application/json": {"schema": {"$ref": REF.format(model="ErrorBody")}}}}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    return {model.__name__: _hoisted(model.model_json_schema(ref_template=REF), schemas)} | schemas


def _hoisted(value: Any, schemas: dict[str, Any]) -> Any:
    """The value without the definitions that pydantic put inside it, which join the schemas."""
    if isinstance(value, list):
        return [_hoisted(item, schemas) for item in value]
    if not isinstance(value, dict):
        return value
    schemas |= {name: _hoisted(schema, schemas) for name, schema in value.get("$defs", {}).items()}
    return {name: _hoisted(item, schemas) for name, item in value.items() if name != "$defs"}
