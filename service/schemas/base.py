"""What every request and answer has in common: fields that are known and of their type, and one form of errors."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from service.errors import InvalidFields

MAX_TEXT = 8192  # characters: no two-hop question is longer, and reading it must not hold up the others

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Number = FiniteFloat  # JSON has neither NaN nor infinity


class Request(BaseModel):
    """A request whose every field must be known and of its type."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @classmethod
    def parse(cls, value: object) -> Self:
        """From JSON's value; raises `InvalidFields`."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidFields.of(error, tuple(cls.model_fields)) from None


class Response(BaseModel):
    """A part of an answer. A field that is not here is a bug, so it is refused."""

    model_config = ConfigDict(extra="forbid")


class Alternative(Response):
    """A token that could have come first."""

    text: str
    probability: Number


class ErrorDetail(Response):
    """OpenAI's four fields: `param` is the field that is wrong, `code` is for programs."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Response):
    """Every error's body."""

    error: ErrorDetail


def request_body(model: type[BaseModel], *, or_list: bool = False) -> dict[str, Any]:
    """The OpenAPI entry of a body that the route reads itself, to judge each entry of a list on its own."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    either = {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]} if or_list else schema
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": either}}}}
