"""Ready means proven: the model is loaded and answers its profile's questions as it did when the profile was made."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from correction.errors import HopfixError
from correction.questions import Question
from service import logs
from service.errors import ProfileRefused
from service.settings import Settings

if TYPE_CHECKING:
    from correction.corrector import Corrector
    from correction.profile import Replay


log = logging.getLogger(__name__)


async def load(settings: Settings) -> Corrector:
    """The corrector that the settings ask for. Importing torch takes seconds, so that happens beside the event loop."""
    loading = await asyncio.to_thread(importlib.import_module, "correction.loading")
    corrector: Corrector = await loading.open_corrector(
        model=settings.model,
        profile=settings.profile,
        form=settings.form,
        engine=settings.engine,
        device=settings.device,
        dtype=settings.dtype,
        max_tokens=settings.max_tokens,
        vllm_url=settings.vllm_url,
        vllm_key=settings.vllm_key and settings.vllm_key.get_secret_value(),
        vllm_args=settings.vllm_args,
        vllm_deadline=settings.vllm_deadline_seconds,
    )
    logs.adopt("transformers", "vllm")
    return corrector


async def replay(corrector: Corrector) -> str | None:
    """Asks the profile's questions again; None if all is as expected, else what is not.

    Without a profile there is nothing to expect, but that the model says something.
    """
    entries = corrector.profile.replay if corrector.profile else ()
    while True:
        restarts = corrector.engine.restarts
        reason = await (_wrong(corrector, entries) if entries else _mute(corrector))
        if not corrector.engine.down and corrector.engine.restarts == restarts:
            return reason
        await asyncio.sleep(1)  # the engine went away meanwhile, which says nothing about the answers


async def _wrong(corrector: Corrector, entries: Sequence[Replay]) -> str | None:
    wrong = []
    for entry, result in zip(entries, await corrector.answer_all(_questions(entries)), strict=True):
        given = str(result) if isinstance(result, HopfixError) else result.answer
        if given != entry.answer:
            wrong.append(f"{entry.question!r} gave {given!r}, expected {entry.answer!r}")
    if not wrong:
        return None
    return f"{len(wrong)} of the profile's {len(entries)} questions are not answered as expected: {wrong[0]}"


async def _mute(corrector: Corrector) -> str | None:
    from correction.passes import Pass, Sampling

    try:
        await corrector.engine.run(Pass(corrector.prompts.encode_raw("The"), sampling=Sampling(1)))
    except HopfixError as error:
        return f"the model does not answer: {error}"
    return None


async def renewed(corrector: Corrector, settings: Settings) -> Corrector:
    """The same model with the profile as it is now, replayed; raises `ProfileRefused` if that fails."""
    try:
        async with asyncio.timeout(settings.deadline_seconds):
            new = await asyncio.to_thread(_with_profile_of, settings, corrector)
            reason = await replay(new)
    except TimeoutError:
        reason = f"its questions were not answered within {settings.deadline_seconds:g} seconds"
    except HopfixError as error:
        raise ProfileRefused(str(error)) from None
    except Exception as error:  # whatever can be wrong with a file
        log.exception("the profile cannot be used")
        raise ProfileRefused(f"the profile cannot be used ({type(error).__name__})", hint="see the log") from None
    if reason is not None:
        raise ProfileRefused(reason, hint="calibrate again")
    return new


def _with_profile_of(settings: Settings, corrector: Corrector) -> Corrector:
    from correction.hub import profile_folder
    from correction.loading import NO_PROFILE
    from correction.models import bundled_profile_folder
    from correction.profile import Profile

    given = settings.profile or (None if settings.form else bundled_profile_folder(settings.model))
    if given is None or given == NO_PROFILE:
        raise ProfileRefused("the service was started without a profile", hint="start it with --profile")
    return corrector.using(Profile.load(profile_folder(given, fresh=True)))


def _questions(entries: Iterable[Replay]) -> list[Question]:
    return [Question.from_fields(entry.question, entry.hop1, entry.hop2) for entry in entries]
