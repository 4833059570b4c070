"""Options that several commands share. The environment variables are those of `service.settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from correction import supported
from service.settings import ENGINES, FORM, PROFILE, VLLM_ARGS, VLLM_KEY, VLLM_URL

Model = Annotated[
    str,
    typer.Option(envvar="HOPFIX_MODEL", help=supported.MODEL, autocompletion=lambda: supported.MODELS),
]
Profile = Annotated[str | None, typer.Option(envvar="HOPFIX_PROFILE", help=PROFILE)]
Form = Annotated[str | None, typer.Option(envvar="HOPFIX_FORM", metavar="NAME", help=FORM)]
Engine = Annotated[str, typer.Option(envvar="HOPFIX_ENGINE", help=ENGINES, autocompletion=lambda: supported.ENGINES)]
Device = Annotated[
    str,
    typer.Option(
        envvar="HOPFIX_DEVICE",
        help="cpu, cuda, cuda:N, balanced (all GPUs) or auto.",
        autocompletion=lambda: supported.DEVICES,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        envvar="HOPFIX_DTYPE",
        help="float32, bfloat16, float16 or auto.",
        autocompletion=lambda: supported.DTYPES,
    ),
]
VLLMUrl = Annotated[str | None, typer.Option("--vllm-url", envvar="HOPFIX_VLLM_URL", help=VLLM_URL)]
VLLMKey = Annotated[str | None, typer.Option("--vllm-key", envvar="HOPFIX_VLLM_KEY", help=VLLM_KEY)]
VLLMArgs = Annotated[str | None, typer.Option("--vllm-args", envvar="HOPFIX_VLLM_ARGS", metavar="JSON", help=VLLM_ARGS)]
MaxTokens = Annotated[
    int, typer.Option(min=1, envvar="HOPFIX_MAX_TOKENS", help="The most tokens of a bridge, and of an answer.")
]
