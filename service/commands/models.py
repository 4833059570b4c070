"""`hopfix models`: what is here, what is known to work, and whether a model fits, before its weights are fetched."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import print_json
from service.commands.options import Dtype
from service.commands.text import print_rows

if TYPE_CHECKING:
    from correction.sizing import ModelSize, Room

GIB = 1 << 30
NOTE = (
    "Counted on the config's own modules; what is left is arithmetic, and activations, CUDA graphs and the\n"
    "allocator's waste come off it.\n"
)


def command(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="Hub id, folder in which config.json is enough, or .gguf file; demo, smollm2."
        ),
    ] = None,
    dtype: Dtype = "auto",
    memory: Annotated[
        float | None, typer.Option(min=0.001, metavar="GIB", help="Of a GPU; default: what this machine has.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """List the models that are here and the architectures that work, or say what MODEL needs. Reads no weights."""
    if model is None:
        _list(json)
        return
    from correction.engines.hf import BATCH_TOKENS
    from correction.sizing import memory_here, size_of

    size = size_of(model, dtype)
    available, on_cpu = (int(memory * GIB), False) if memory else memory_here()
    rooms = size.rooms(available, on_cpu=on_cpu)
    batch = {"tokens": BATCH_TOKENS, **_batch(size, BATCH_TOKENS)}
    if json:
        place = {"bytes": available, "kind": "cpu" if on_cpu else "gpu"}
        engines = {engine: asdict(room) for engine, room in rooms.items()} if _corrects(size) else {}
        print_json(
            {**asdict(size), "state": size.state, "states": size.states, "batch": batch, "memory": place}
            | {"engines": engines}
        )
        return
    print_rows(_about(size, batch), width=17)
    if _corrects(size):
        sys.stdout.write(_table(rooms, available, on_cpu) + NOTE)


def _corrects(size: ModelSize) -> bool:
    return size.trouble is None and not size.inspected


def _list(json: bool) -> None:
    from correction.catalogue import bundled, cached, installed
    from correction.supported import INSPECTED, TESTED

    here = {"bundled": bundled(), "installed": installed(), "hub cache": cached()}
    if json:
        found = {name.replace(" ", "_"): [asdict(entry) for entry in entries] for name, entries in here.items()}
        print_json({**found, "tested": TESTED, "inspected": INSPECTED})
        return
    for name, entries in here.items():
        sys.stdout.write(f"{name}{'' if entries else ': nothing'}\n")
        width = max((len(entry.name) for entry in entries), default=0)
        for entry in entries:
            about = f"profile of {entry.about}" if entry.kind == "profile" else entry.about
            sys.stdout.write(f"  {entry.name:<{width}}  {binary(entry.bytes):>10}  {about}\n")
    sys.stdout.write("architectures, tested cell by cell\n")
    for kind, title in TESTED.items():
        sys.stdout.write(f"  {kind:<12} {title}\n")
    sys.stdout.write(
        f"can be inspected, not corrected: {', '.join(INSPECTED.values())}\n"
        "Another one works if its blocks are found: hopfix models MODEL says so, and what memory it takes.\n"
    )


def _batch(size: ModelSize, tokens: int) -> dict[str, int | None]:
    kept = {"key_values": size.key_values, "states": size.states}
    return {name: None if value is None else value * tokens for name, value in kept.items()}


def _about(size: ModelSize, batch: dict[str, Any]) -> list[tuple[str, str]]:
    if size.trouble:
        standing = size.trouble
    elif size.inspected:
        standing = "can be inspected, not corrected"
    else:
        standing = "tested cell by cell" if size.tested else "its blocks are found; not among the tested ones"
    rows = [
        ("model", size.name),
        ("architecture", f"{size.architecture}: {standing}"),
        ("layers", f"{'unknown' if size.layers is None else size.layers}, width {size.width:,}"),
        ("vocabulary", f"{size.vocabulary:,}"),
        ("parameters", f"{size.parameters:,}"),
        ("context", f"{size.context:,} tokens"),
        ("weights", f"{binary(size.weights)} in {size.dtype}{_on_disk(size)}"),
    ]
    if size.key_values is not None:
        rows.append(("keys and values", f"{binary(size.key_values)} a token"))
    if size.states is not None:
        rows.append(("hidden states", f"{binary(size.state)} each, {binary(size.states)} a token at all layers"))
    if batch["key_values"] is not None and batch["states"] is not None:
        most = f"{binary(batch['key_values'])} of keys and values; {binary(batch['states'])} more with every state kept"
        rows.append((f"{batch['tokens']:,} tokens", f"{most} (engine hf's largest batch)"))
    return rows


def _on_disk(size: ModelSize) -> str:
    if size.quantized:
        return "; the config says that they are quantized, of which this arithmetic knows nothing"
    if size.files is None:
        return ""
    if size.gguf:
        return f"; {binary(size.files)} as a GGUF file, which is unpacked once"
    return f"; {binary(size.files)} of safetensors here" if size.files else "; no safetensors in this folder"


def _table(rooms: dict[str, Room], memory: int, on_cpu: bool) -> str:
    lines = [f"\n{'this machine' if on_cpu else 'a GPU'} of {binary(memory)}"]
    lines.append(f"  {'engine':<8} {'weights':<23} left for keys and values")
    for engine, room in rooms.items():
        copies = f"{binary(room.weights)} ({room.copies} {'copy' if room.copies == 1 else 'copies'})"
        if room.left < 0:
            left = f"does not fit by {binary(-room.left)}"
        else:
            left = binary(room.left) + ("" if room.tokens is None else f", {room.tokens:,} tokens")
        lines.append(f"  {engine:<8} {copies:<23} {left}")
    return "\n".join(lines) + "\n"


def binary(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit, size in (("GiB", GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:.0f} B"
