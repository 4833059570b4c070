"""What a service is told when it starts: `HOPFIX_*` environment variables, and over them the flags of `serve`."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from correction import supported
from correction.errors import InvalidInput

ENGINES = "hf (the custom forward), hf+vllm (what is unpatched on vLLM) or vllm (all of it, patches too)."
PROFILE = "Folder that 'hopfix calibrate' wrote, ORG/NAME[@REVISION] on the hub, or 'none'."
FORM = "The form of prompts of a model without a profile, instead of the one that a probe finds."
VLLM_URL = "A vLLM server, such as http://localhost:8000, in place of a vLLM in this process."
VLLM_KEY = "The vLLM server's API key; HOPFIX_VLLM_KEY keeps it out of the process list."
VLLM_ARGS = 'Engine arguments for the vLLM in this process, such as {"tensor_parallel_size": 2}.'

Text = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@*,\s]+")
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1e-9, allow_inf_nan=False)]


class Settings(BaseSettings):
    """All settings with their defaults. An empty environment variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="HOPFIX_", env_ignore_empty=True, extra="forbid", frozen=True)

    model: Text = Field("demo", description=supported.MODEL)
    profile: Text | None = Field(None, description=PROFILE)
    form: Text | None = Field(None, description=FORM)
    engine: str = Field("hf", description=ENGINES)
    device: str = Field("auto", description="cpu, cuda, cuda:N or auto.")
    dtype: str = Field("auto", description="float32, bfloat16, float16 or auto.")
    max_tokens: Count = Field(16, description="The most tokens of a bridge, and of a corrected answer.")
    vllm_url: Annotated[str, Field(pattern="^https?://")] | None = Field(None, description=VLLM_URL)
    vllm_key: Secret | None = Field(None, description=VLLM_KEY)
    vllm_args: str | None = Field(None, description=VLLM_ARGS)
    vllm_deadline_seconds: Seconds = Field(
        30.0,
        description="hf+vllm: the most time for 64 tokens from vLLM, or for the next one of a stream; "
        "beyond it the custom forward stands in.",
    )

    host: Text = Field("127.0.0.1", description="Others than this machine need a key or --insecure.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="0 takes a free one.")
    workers: Count = Field(1, description="Processes that serve, each with the model.")
    max_in_flight: Count = Field(64, description="The most questions that are being answered at once.")
    max_queued: Annotated[int, Field(ge=0)] = Field(
        32, description="The most questions that wait for their turn; beyond it clients get 429."
    )
    deadline_seconds: Seconds = Field(60.0, description="The most time for one answer, waiting included; then 504.")
    max_questions: Count = Field(256, description="The most questions in one list, or prompts in one request.")
    max_body_bytes: Count = Field(1 << 20, description="The largest request body.")
    max_completion_tokens: Count = Field(1024, description="The most tokens that a client can have generated.")
    cache_answers: Annotated[int, Field(ge=0)] = Field(
        0, description="How many answers are kept for whoever asks the same again; none unless given."
    )
    shadow: bool = Field(
        False, description="Serve the model's plain answers, and log what correction would have answered."
    )

    api_key: Secret | None = Field(None, description="A bearer token; HOPFIX_API_KEY keeps it out of the process list.")
    api_keys: Path | None = Field(None, description="A file of hashed keys, one a line, as 'hopfix key' prints them.")
    rate: Rate | None = Field(None, description="The most questions a second of each client; no limit unless given.")
    private_metrics: bool = Field(False, description="Ask for a key at /metrics too.")
    cors_origins: str | None = Field(None, description="Web origins that may call from a browser, with commas between.")
    insecure: bool = Field(False, description="Allow other machines in without a key.")

    log_format: Literal["text", "json"] = Field("text", description="Of the log on standard error.")
    log_questions: bool = Field(False, description="Write questions and answers into the log.")
    otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = Field(
        None, description="Where OpenTelemetry traces are sent, such as http://localhost:4318; needs 'hopfix[otel]'."
    )

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

    @field_validator("profile", mode="before")
    @classmethod
    def _place(cls, profile: Any) -> Any:
        """A folder that is here stays one: were it gone at a reload, its name is not looked for on the hub."""
        return str(Path(profile).absolute()) if profile and Path(profile).exists() else profile

    @model_validator(mode="after")
    def _check(self) -> Self:
        keys = self.api_key is not None or self.api_keys is not None
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"--cors-origins: {origin!r} is no origin: write one such as https://example.org, without a path"
                )
        if self.workers > 1 and "vllm" in self.engine and self.vllm_url is None:
            raise ValueError(
                f"--workers {self.workers} with --engine {self.engine} would start as many vLLMs: "
                "start one and name it with --vllm-url"
            )
        if self.private_metrics and not keys:
            raise ValueError("--private-metrics asks for a key and there is none: set HOPFIX_API_KEY or --api-keys")
        open_to = None
        if not _loopback(self.host):
            open_to = f"--host {self.host} can be reached from other machines"
        elif ANY_ORIGIN in self.origins:
            open_to = f"--cors-origins {ANY_ORIGIN} lets every web page in"
        if open_to and not keys and not self.insecure:
            raise ValueError(
                f"{open_to} and no key is asked for: set HOPFIX_API_KEY or --api-keys, or allow it with --insecure"
            )
        return self

    @property
    def origins(self) -> frozenset[str]:
        """The web origins whose pages may call; `*` is any."""
        return frozenset(origin.strip() for origin in (self.cors_origins or "").split(",") if origin.strip())

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
