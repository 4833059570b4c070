"""`hopfix calibrate`: from a model and a file of questions to a profile, ending in a verdict."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

DEMO_QUESTIONS = 400


def command(
    out: Annotated[Path, typer.Option(help="Folder for the profile.")],
    model: Annotated[str, typer.Option(help="Hub id or folder; default: the bundled demo model.")] = "demo",
    questions: Annotated[
        Path | None, typer.Option(help="Question file; default: the demo world's calibration set.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The evidence as JSON on stdout.")] = False,
) -> None:
    """Choose a profile for a model from a file of questions."""
    asyncio.run(_calibrate(out, model, questions, device, dtype, as_json))


async def _calibrate(out: Path, model: str, path: Path | None, device: str, dtype: str, as_json: bool) -> None:
    import json

    from correction.corrector import Corrector
    from correction.engines import HFEngine
    from correction.models import load_model
    from eval.calibration import calibrate, verdict
    from eval.commands import progress
    from eval.demo_world.questions import demo_questions
    from eval.questions import load_questions

    asked = load_questions(path) if path else demo_questions("calibration", DEMO_QUESTIONS)
    loaded = load_model(model, device=device, dtype=dtype)
    engine = HFEngine(loaded)
    try:
        with progress.bar("calibration", 3) as advance:
            profile = await calibrate(Corrector(loaded, engine), asked, lambda what: advance(1))
    finally:
        await engine.close()
    profile.save(out)
    if as_json:
        sys.stdout.write(json.dumps({"profile": str(out), "verdict": verdict(profile), **profile.evidence}) + "\n")
    else:
        sys.stdout.write(f"{out}: {profile.choice}\n{verdict(profile)}\n")
