"""What a ready-made Patchscope is asked: one form for all of them, the same in the shell and in code."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correction.errors import InvalidInput

Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Request(BaseModel):
    """Fields left out are the method's own choice; which of them a method takes is in `SCOPES`.

    prompts: source prompts, S. labels: one each, for a probe. position: i, a token index or a text whose last token is
    meant. target: T, with `{}` for the placeholder, or with the placeholder itself, of which the last occurrence is
    meant; i* is that token, unless target_position says otherwise. layers, target_layers: l and l*. noise: times the
    standard deviation of the states it is added to. model, target_model: M and M*, by the names in the inspector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Annotated[tuple[str, ...], Field(min_length=1)]
    labels: tuple[str, ...] = ()
    position: int | str | None = None
    target: str | None = None
    placeholder: Annotated[str, Field(min_length=1)] | None = None
    target_position: int | str | None = None
    mapping: str | None = None
    layers: Layers | None = None
    target_layers: Layers | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 8
    seed: Annotated[int, Field(ge=0)] = 0
    noise: Annotated[float, Field(ge=0)] = 3.0
    model: str | None = None
    target_model: str | None = None

    @classmethod
    def parse(cls, fields: Any) -> Request:
        """From JSON's objects; raises `InvalidInput` naming the field that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "request"
            raise InvalidInput(f"{where}: {first['msg']}", param=where) from None

    @property
    def prompt(self) -> str:
        """The prompt of a method that takes one; raises `InvalidInput` where several were given."""
        if len(self.prompts) != 1:
            raise InvalidInput(f"{len(self.prompts)} prompts given", hint="this method takes one", param="prompts")
        return self.prompts[0]
