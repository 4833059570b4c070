"""`hopfix calibrate`: from a model and a file of questions to a profile, ending in a verdict."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.commands.options import Device, Dtype, Model

if TYPE_CHECKING:
    from eval.questions import GoldQuestion


def command(
    out: Annotated[Path, typer.Option(help="Folder for the profile.")],
    model: Model = "demo",
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Question file, or 'real': two-hop questions about the real world. Default: the demo world's for the "
            "demo model, 'real' for any other."
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The evidence as JSON on stdout.")] = False,
) -> None:
    """Choose a profile for a model from a file of questions."""
    asyncio.run(_calibrate(out, model, questions, device, dtype, as_json))


def asked_of(path: Path | None, model: str) -> list[GoldQuestion]:
    """The questions that a model is calibrated on; a pretrained one knows nothing of the demo world's wordings."""
    from eval.demo_world.suite import demo_suite
    from eval.questions import load_questions
    from eval.real_questions import means_real, real_suite

    if path is None and model == "demo":
        return demo_suite()["calibration"]
    if path is None or means_real(path):
        return real_suite()["calibration"]
    return load_questions(path, one_hop=True)


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
    from eval.journal import Journal
    from eval.questions import digest

    asked = asked_of(path, model)
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
