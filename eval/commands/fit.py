"""`hopfix fit`: a mapping between two layers, of one model or two, from a file of texts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from correction.errors import InvalidInput
from eval.commands.options import Device, Dtype, Model


def command(
    texts: Annotated[Path, typer.Option(help="File of texts, one a line.")],
    source_layer: Annotated[int, typer.Option(min=0, help="Layer that states are taken from.")],
    out: Annotated[Path, typer.Option(help="The mapping's file, its name ending in .safetensors.")],
    kind: Annotated[str, typer.Option(help="ridge, procrustes, mlp, kernel")] = "ridge",
    model: Model = "demo",
    target_model: Annotated[str | None, typer.Option(help="Default: the same model.")] = None,
    target_layer: Annotated[int | None, typer.Option(min=0, help="Default: the target's last layer.")] = None,
    ridge: Annotated[float, typer.Option(min=0, help="Strength; relative to mean diag X^T X.")] = 1e-3,
    scale: Annotated[bool, typer.Option("--scale", help="Let Procrustes fit a length.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Of the MLP.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the held-out pairs, the MLP and the landmarks.")] = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="What was fitted as JSON on stdout.")] = False,
) -> None:
    """Fit a mapping on the states that two layers give for the same texts."""
    from correction.mappings.files import KINDS, check_name, save_mapping
    from correction.mappings.fit import fit, readings
    from correction.mappings.pairs import places, state_pairs
    from correction.models import load_model
    from eval.commands import progress

    if kind not in KINDS:
        raise typer.BadParameter(f"choose one of {', '.join(KINDS)}", param_hint="--kind")
    check_name(out)
    lines = read_texts(texts)
    source = load_model(model, device=device, dtype=dtype)
    target = load_model(target_model, device=device, dtype=dtype) if target_model else source
    last = target.parts.depth if target_layer is None else target_layer
    pairs = sum(len(places(source, target, line).source_positions) for line in lines)
    with progress.bar("states", pairs * readings(kind, epochs)) as advance:
        mapping = fit(
            kind,
            partial(state_pairs, source, target, lines, source_layer, last),
            source_model=source.fingerprint,
            target_model=target.fingerprint,
            source_layer=source_layer,
            target_layer=last,
            strength=ridge,
            scale=scale,
            epochs=epochs,
            seed=seed,
            on_progress=advance,
        )
    save_mapping(mapping, out)
    fitted = mapping.fitted
    if as_json:
        sys.stdout.write(json.dumps({"mapping": str(out), "widths": mapping.widths, **asdict(fitted)}) + "\n")
    else:
        sys.stdout.write(
            f"{out}: {fitted.kind}, layer {source_layer} -> {last}, widths {mapping.widths[0]} -> {mapping.widths[1]}\n"
            f"{fitted.objective}\n"
            f"fitted on {fitted.pairs} pairs; explains {fitted.explained:.1%} of the variance of held-out pairs\n"
        )


def read_texts(path: Path) -> list[str]:
    """The lines that are not empty; raises `InvalidInput` for a file that is missing, empty or not UTF-8."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InvalidInput(f"cannot read {path}", hint=error.strerror or str(error), param="texts") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8", hint=f"save it as UTF-8 ({error.reason})", param="texts") from error
    if not lines:
        raise InvalidInput(f"{path} holds no text", hint="give one text a line", param="texts")
    return lines
