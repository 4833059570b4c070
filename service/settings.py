"""What a service is told when it starts: `HOPFIX_*` environment variables, and over them the flags of `serve`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from correction.errors import InvalidInput


class Settings(BaseSettings):
    """All settings with their defaults. An empty environment variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="HOPFIX_", env_ignore_empty=True, extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)] = "demo"
    profile: Path | None = None
    engine: str = "hf"
    device: str = "auto"
    dtype: str = "auto"
    max_tokens: Annotated[int, Field(ge=1)] = 16
    vllm_url: Annotated[str, Field(pattern="^https?://")] | None = None
    vllm_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    vllm_args: str | None = None
    vllm_deadline_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_questions: Annotated[int, Field(ge=1)] = 256
    max_body_bytes: Annotated[int, Field(ge=1)] = 1 << 20
    max_in_flight: Annotated[int, Field(ge=1)] = 1024
    deadline_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    insecure: bool = False

    @classmethod
    def read(cls, **flags: Any) -> Self:
        """Environment and flags; a flag that is None was not given. Raises `InvalidInput` naming what is wrong."""
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            reason = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:
                raise InvalidInput(reason) from None
            name = str(first["loc"][0])
            where = f"--{name.replace('_', '-')} or HOPFIX_{name.upper()}"
            raise InvalidInput(f"{where}: {reason}", param=name) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_in_flight < self.max_questions:
            raise ValueError(
                f"--max-in-flight {self.max_in_flight} is below --max-questions {self.max_questions}: "
                "a full list could never be answered"
            )
        if not (self.insecure or self.api_key or _loopback(self.host)):
            raise ValueError(
                f"--host {self.host} can be reached from other machines and no key is asked for: "
                "set HOPFIX_API_KEY, or allow it with --insecure"
            )
        return self

    @property
    def model_name(self) -> str:
        """What clients call the model: its hub id, or the name of its folder."""
        folder = Path(self.model)
        return folder.resolve().name if folder.is_dir() else self.model


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
