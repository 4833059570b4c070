"""Options that several commands of evaluation share."""

from __future__ import annotations

from typing import Annotated

import typer

from correction import supported
from eval.datasets import DATASETS

Model = Annotated[
    str,
    typer.Option(help=f"{supported.MODEL} Default: demo."),
]
Form = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The form of prompts of a model without a profile, instead of the one that a probe finds.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(help="hf, hf+vllm (what is unpatched on vLLM) or vllm", autocompletion=lambda: supported.ENGINES),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto", autocompletion=lambda: supported.DEVICES)]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto", autocompletion=lambda: supported.DTYPES)]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="The dataset that the questions are of; 'hopfix eval formats' has all.",
        autocompletion=lambda: list(DATASETS),
    ),
]
