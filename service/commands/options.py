"""Options that several commands share. The environment variables are those of `service.settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(envvar="HOPFIX_MODEL", help="Hub id or folder; 'demo' is the bundled model.")]
ProfileFolder = Annotated[
    Path | None,
    typer.Option("--profile", envvar="HOPFIX_PROFILE", help="Folder that 'hopfix calibrate' wrote."),
]
Engine = Annotated[str, typer.Option(envvar="HOPFIX_ENGINE", help="hf or hf+vllm.")]
Device = Annotated[str, typer.Option(envvar="HOPFIX_DEVICE", help="cpu, cuda, cuda:N, balanced (all GPUs) or auto.")]
Dtype = Annotated[str, typer.Option(envvar="HOPFIX_DTYPE", help="float32, bfloat16, float16 or auto.")]
MaxTokens = Annotated[
    int, typer.Option(min=1, envvar="HOPFIX_MAX_TOKENS", help="The most tokens of a bridge, and of an answer.")
]
