"""`hopfix calibrate`: from a model and a file of questions to a profile, ending in a verdict."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from eval.commands.options import Device, Dtype, Model


def command(
    out: Annotated[Path, typer.Option(help="Folder for the profile.")],
    model: Model = "demo",
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Question file, or 'real': two-hop questions about the real world. Default: the demo world's calibration "
            "set for the demo model, 'real' for any other."
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The evidence as JSON on stdout.")] = False,
) -> None:
    """Choose a profile for a model from a file of questions."""
    asyncio.run(_calibrate(out, model, questions, device, dtype, as_json))


async def _calibrate(out: Path, model: str, path: Path | None, device: str, dtype: str, as_json: bool) -> None:
    import json
    from importlib.metadata import version

    from correction.corrector import Corrector
    from correction.engines import HFEngine
    from correction.models import load_model
    from correction.profile import FILE
    from eval.calibration import calibrate, most_steps, verdict
    from eval.calibration.report import write_report
    from eval.commands import progress
    from eval.demo_world.suite import demo_suite
    from eval.journal import Journal
    from eval.questions import digest, load_questions
    from eval.real_questions import means_real, real_suite

    if path is None:
        asked = (demo_suite() if model == "demo" else real_suite())["calibration"]
    else:
        asked = real_suite()["calibration"] if means_real(path) else load_questions(path, one_hop=True)
    loaded = load_model(model, device=device, dtype=dtype)
    key = {"model": loaded.fingerprint, "questions": digest(asked), "hopfix": version("hopfix"), "dtype": dtype}
    engine = HFEngine(loaded)
    journal = Journal(out, key)
    try:
        with progress.steps("calibration", most_steps(loaded.parts.depth)) as begin:
            profile = await calibrate(Corrector(loaded, engine), asked, journal, begin)
        profile.save(out)
        write_report(out, profile)
        journal.remove()
    finally:
        journal.close()
        await engine.close()
    if as_json:
        sys.stdout.write(json.dumps({"profile": str(out), "verdict": verdict(profile), **profile.evidence}) + "\n")
    else:
        sys.stdout.write(f"{out / FILE}: {profile.choice}\n{verdict(profile)}\n")
