"""Opens a corrector by name: the model, its profile if there is one, and a started engine."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from correction.corrector import Corrector
from correction.engines import Engine, HFEngine, SplitEngine, VLLMEngine
from correction.errors import InvalidInput
from correction.models import DEMO, demo_profile_folder, load_model
from correction.profile import Profile

ENGINES = ("hf", "hf+vllm")
log = logging.getLogger(__name__)


async def open_corrector(
    model: str = DEMO,
    *,
    profile: Path | None = None,
    engine: str = "hf",
    device: str = "auto",
    dtype: str = "auto",
    max_tokens: int = 16,
) -> Corrector:
    """A corrector that can answer. The event loop stays free while the model loads; close it by `.engine.close()`.

    Without a profile the demo model has its own; any other model is used without one, which is logged as a warning.
    """
    if engine not in ENGINES:
        raise InvalidInput(f"unknown engine {engine!r}", hint=f"choose one of {', '.join(ENGINES)}", param="engine")
    if profile is None and model == DEMO:
        profile = demo_profile_folder()
    chosen = Profile.load(profile) if profile else None
    loaded = await asyncio.to_thread(load_model, model, device=device, dtype=dtype)
    if chosen is None:
        log.warning("%s has no profile: using the vocabulary mapping from the last layer into layer 0", model)
    hf = HFEngine(loaded)
    started: Engine = SplitEngine(hf, VLLMEngine(loaded)) if engine == "hf+vllm" else hf
    corrector = Corrector(loaded, started, chosen, max_tokens=max_tokens)
    try:
        await started.start()
    except BaseException:
        await started.close()
        raise
    return corrector
