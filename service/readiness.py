"""Ready means proven: the model is loaded and answers its profile's questions as it did when the profile was made."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from correction.errors import HopfixError
from correction.questions import Question
from service.settings import Settings

if TYPE_CHECKING:
    from correction.corrector import Corrector
    from correction.profile import Replay


async def load(settings: Settings) -> Corrector:
    """The corrector that the settings ask for. Importing torch takes seconds, so that happens beside the event loop."""
    loading = await asyncio.to_thread(importlib.import_module, "correction.loading")
    corrector: Corrector = await loading.open_corrector(
        model=settings.model,
        profile=settings.profile,
        engine=settings.engine,
        device=settings.device,
        dtype=settings.dtype,
        max_tokens=settings.max_tokens,
        vllm_url=settings.vllm_url,
        vllm_key=settings.vllm_key and settings.vllm_key.get_secret_value(),
        vllm_args=settings.vllm_args,
        vllm_deadline=settings.vllm_deadline_seconds,
    )
    return corrector


async def replay(corrector: Corrector) -> str | None:
    """Asks the profile's questions again; None if all is as expected, else what is not."""
    if corrector.profile is None or not corrector.profile.replay:
        return None
    entries = corrector.profile.replay
    while True:
        restarts = corrector.engine.restarts
        results = await corrector.answer_all(_questions(entries))
        if not corrector.engine.down and corrector.engine.restarts == restarts:
            break
        await asyncio.sleep(1)  # the engine went away meanwhile, which says nothing about the answers
    wrong = []
    for entry, result in zip(entries, results, strict=True):
        given = str(result) if isinstance(result, HopfixError) else result.answer
        if given != entry.answer:
            wrong.append(f"{entry.question!r} gave {given!r}, expected {entry.answer!r}")
    if not wrong:
        return None
    return f"{len(wrong)} of the profile's {len(entries)} questions are not answered as expected: {wrong[0]}"


def _questions(entries: Iterable[Replay]) -> list[Question]:
    return [Question.from_fields(entry.question, entry.hop1, entry.hop2) for entry in entries]
