"""`hopfix inspect`: any Patchscope, and the ready-made ones of the literature, as a table, JSON or a picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from correction import supported
from correction.errors import InvalidInput
from correction.scopes import SCOPES, Request, scope_named
from service.cli import print_json
from service.commands.inspect_files import read_patchscopes, read_prompts
from service.commands.inspect_text import print_table
from service.commands.options import Device, Dtype
from service.commands.text import say

if TYPE_CHECKING:
    from correction.inspector import Inspector
    from correction.patchscope import Patchscope
    from correction.scopes import Table

PICTURES = (".png", ".svg")
LISTED = "; ".join(f"{scope.name}: {scope.summary}" for scope in SCOPES.values())

Name = Annotated[str, typer.Argument(metavar="SCOPE", help=LISTED, autocompletion=lambda: list(SCOPES))]
Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="The source prompt.")]
SourcePrompt = Annotated[str | None, typer.Option(help="The source prompt, in place of PROMPT.")]
File = Annotated[
    Path | None,
    typer.Option(help='patchscope: JSON of one or a list. Others: lines of {"prompt": ..., "label": ...}.'),
]
Position = Annotated[
    str | None,
    typer.Option("--position", "--source-position", help="Token index, or a text of which the last token is meant."),
]
TargetPrompt = Annotated[
    str | None, typer.Option("--target", "--target-prompt", help="The target prompt, {} or the placeholder in it.")
]
Placeholder = Annotated[
    str | None, typer.Option(help="The token that stands in the target where the state is written: x.")
]
TargetPosition = Annotated[str | None, typer.Option(help="patchscope: i*, as --position.")]
Mapping = Annotated[str | None, typer.Option(help="A name, a fitted mapping's file, or several joined by '+'.")]
Layers = Annotated[str | None, typer.Option("--layers", "--source-layer", help="Source layers l: 6, 0-6 or 0,2,4-6.")]
TargetLayers = Annotated[
    str | None, typer.Option("--target-layers", "--target-layer", help="Target layers l*, in the same form.")
]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="The most tokens to generate.")]
Noise = Annotated[float | None, typer.Option(min=0, help="Standard deviations of causal-tracing's noise.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of noise and held-out prompts.")]
Picture = Annotated[Path | None, typer.Option(metavar="FILE", help="Heatmap, .png or .svg.")]
Check = Annotated[
    bool | None, typer.Option(help="Look for failure signatures; on by default for patchscope.", show_default=False)
]
Model = Annotated[str, typer.Option("--model", "--source-model", envvar="HOPFIX_MODEL", help=supported.MODEL)]
TargetModel = Annotated[str | None, typer.Option(help="The model that reads, if another.")]


def command(
    *,
    scope: Name,
    prompt: Prompt = None,
    source_prompt: SourcePrompt = None,
    file: File = None,
    position: Position = None,
    target: TargetPrompt = None,
    placeholder: Placeholder = None,
    target_position: TargetPosition = None,
    mapping: Mapping = None,
    layers: Layers = None,
    target_layers: TargetLayers = None,
    max_tokens: MaxTokens = None,
    noise: Noise = None,
    seed: Seed = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    picture: Picture = None,
    check: Check = None,
    model: Model = "demo",
    target_model: TargetModel = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Look at hidden states: take them from one pass, write them into another, and see what is said."""
    given: dict[str, Any] = {
        "position": _place(position),
        "target": target,
        "placeholder": placeholder,
        "target_position": _place(target_position),
        "mapping": mapping,
        "layers": _layers("--layers", layers),
        "target_layers": _layers("--target-layers", target_layers),
        "max_tokens": max_tokens,
        "noise": noise,
        "seed": seed,
        "target_model": target_model,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    if picture is not None and (picture.suffix not in PICTURES or not picture.parent.is_dir()):
        raise typer.BadParameter(f"give a {' or '.join(PICTURES)} file in a folder that exists", param_hint="--picture")
    if len([source for source in (prompt, source_prompt, file) if source]) != 1:
        raise typer.BadParameter("give a PROMPT or --file", param_hint="PROMPT")
    request: Request | None = None
    patchscopes: list[Patchscope] = []
    # What is wrong with the request is said before seconds are spent on the model.
    try:
        method = scope_named(scope)
        if file is not None and scope == "patchscope":
            if fields:
                raise InvalidInput(f"--file already says {', '.join(sorted(fields))}", hint="change it there")
        else:
            fields |= read_prompts(file) if file is not None else {"prompts": [prompt or source_prompt]}
            request = Request.parse(fields)
            method.check(request)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint="SCOPE") from None
    if request is None:
        assert file is not None
        patchscopes = read_patchscopes(file)

    async def look() -> tuple[Table, list[str]]:
        from correction.signatures import signatures

        names = {None, target_model} | {
            name for p in patchscopes for name in (p.target.model, *(graft.source.model for graft in p.grafts))
        }
        async with opened(model, names, device, dtype) as inspector:
            if request is None:
                from correction.scopes.patchscope import run_all

                table = await run_all(inspector, patchscopes)
            else:
                table = await method(inspector, request)
            warnings: list[str] = []
            if scope == "patchscope" if check is None else check:
                if not table.patchscopes:
                    raise InvalidInput(f"{scope} has no generated text to check", hint="leave out --check")
                for number, outcome in enumerate(await inspector.run(table.patchscopes), 1):
                    which = f"patchscope {number}: " if len(table.patchscopes) > 1 else ""
                    found = await signatures(inspector, outcome.patchscope, outcome, seed=seed or 0)
                    warnings += [which + warning for warning in found]
            return table, warnings

    table, warnings = asyncio.run(look())
    if picture is not None:
        from service.commands.heatmap import draw

        draw(table, picture)
    if json:
        print_json({**table.to_json(), "warnings": warnings})
    else:
        print_table(table)
        for warning in warnings:
            say(f"warning: {warning}")
        if check and not warnings:
            say("checked the likeliest: it shows none of the known signs of failure")


@asynccontextmanager
async def opened(model: str, names: set[str | None], device: str, dtype: str) -> AsyncIterator[Inspector]:
    """An inspector of the model, and of those that are named; a model under two names is loaded once."""
    from correction.engines import HFEngine
    from correction.inspector import Host, Inspector
    from correction.models import load_model

    hosts: dict[str, Host] = {}
    try:
        for path in sorted({name or model for name in names}):
            loaded = await asyncio.to_thread(load_model, path, device=device, dtype=dtype)
            hosts[path] = Host(loaded, HFEngine(loaded))
        yield Inspector({name: hosts[name or model] for name in names})
    finally:
        for host in hosts.values():
            await host.engine.close()


def _place(text: str | None) -> int | str | None:
    """A number is a token index; every other text is looked for in the prompt."""
    try:
        return text if text is None else int(text)
    except ValueError:
        return text


def _layers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    layers: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            layers += range(int(first), int(last if dash else first) + 1)
    except ValueError:
        layers = []
    if not layers:
        raise typer.BadParameter(f"{text!r} is no list of layers: write 6, 0-6 or 0,2,4-6", param_hint=option)
    return layers
