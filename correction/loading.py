"""Opens a corrector by name: the model, its profile if there is one, and a started engine."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from correction.corrector import Corrector
from correction.engines import Engine, HFEngine, SplitEngine, VLLMEngine
from correction.engines.vllm import LocalVLLM, ServerVLLM, Supervised, engine_arguments
from correction.engines.vllm.backend import Backend
from correction.errors import EngineUnavailable, InvalidInput
from correction.form_probe import probe
from correction.forms import FORMS, KINDS, Forms
from correction.hub import profile_folder
from correction.models import DEMO, LoadedModel, bundled_profile_folder, load_model, resolve_device
from correction.profile import Profile
from correction.supported import ENGINES

NO_PROFILE = "none"
log = logging.getLogger(__name__)


async def open_corrector(
    model: str = DEMO,
    *,
    profile: Path | str | None = None,
    form: str | None = None,
    engine: str = "hf",
    device: str = "auto",
    dtype: str = "auto",
    max_tokens: int = 16,
    vllm_url: str | None = None,
    vllm_key: str | None = None,
    vllm_args: Mapping[str, Any] | str | None = None,
    vllm_deadline: float = 30.0,
) -> Corrector:
    """A corrector that can answer. The event loop stays free while the model loads; close it by `.engine.close()`.

    model: a folder, a Hugging Face id, FILE.gguf or ORG/NAME:FILE.gguf, `smollm2` or `demo`. profile: the folder that
    `hopfix calibrate` wrote, or ORG/NAME[@REVISION] on the hub; without one `demo` and `smollm2` have their own. Any
    other model is used without one, as are these with `none`: it answers by text, in the forms of prompts that a short
    probe finds (`correction.form_probe`), or in the `form` given. engine: `hf`, `hf+vllm` or `vllm`. device: `cpu`,
    `cuda`, `cuda:N`, `balanced` (all GPUs) or `auto`. dtype: `float32`, `bfloat16`, `float16` or `auto`. max_tokens:
    the most tokens of a bridge, and of an answer.

    vLLM runs in this process with the engine arguments `vllm_args` (or their JSON) over hopfix's, or is the server at
    `vllm_url`; in `hf+vllm` the custom forward runs a pass that vLLM takes more than `vllm_deadline` seconds with
    (`SplitEngine`).

    Raises `ModelNotFound`, `UnsupportedModel`, `InvalidProfile` (damaged, or another model's), `InvalidInput` (engine,
    device, dtype, vLLM's settings) or `EngineUnavailable` (vLLM does not start).
    """
    if engine not in ENGINES:
        raise InvalidInput(f"unknown engine {engine!r}", hint=f"choose one of {', '.join(ENGINES)}", param="engine")
    if engine == "hf" and (vllm_url or vllm_args):
        raise InvalidInput("the engine 'hf' runs no vLLM", hint="choose hf+vllm or vllm, or leave vLLM's settings out")
    if vllm_url and vllm_args:
        raise InvalidInput("a vLLM server has its arguments already", hint="give vLLM's URL or its arguments, not both")
    given = _arguments(vllm_args)
    given_profile = None if profile == NO_PROFILE else profile or bundled_profile_folder(model)
    chosen = Profile.load(await asyncio.to_thread(profile_folder, given_profile)) if given_profile else None
    if form is not None:
        check_form(form, chosen is not None and profile is not None)
        chosen = None
    weights = engine != "vllm"  # else vLLM holds the only copy
    loaded = await asyncio.to_thread(load_model, model, device=device, dtype=dtype, weights=weights)
    if chosen is not None and profile is None and chosen.fingerprint != loaded.fingerprint:
        log.warning("the profile that comes with hopfix is for other weights of %s: it is not used", model)
        chosen = None

    def vllm() -> Backend:
        if vllm_url:
            names = (loaded.name, str(loaded.folder), str(loaded.folder.resolve()))
            return ServerVLLM(vllm_url, model=names, vocabulary=loaded.shape.vocabulary, key=vllm_key)
        on_cpu = device != "balanced" and resolve_device(device).type == "cpu"
        alone = engine == "vllm"
        arguments = engine_arguments(loaded, on_cpu=on_cpu, alone=alone, patches=alone, given=given)
        return LocalVLLM(arguments, on_cpu=on_cpu)

    started = _engine(engine, loaded, vllm, vllm_deadline)
    try:
        Corrector(loaded, started, chosen)  # what cannot be corrected is said before vLLM is started or a form is tried
        await started.start()
        uncalibrated = None
        if chosen is None:
            uncalibrated = await _uncalibrated(loaded, started, form, max_tokens)
        return Corrector(loaded, started, chosen, uncalibrated=uncalibrated, max_tokens=max_tokens)
    except BaseException:
        await started.close()
        raise


async def _uncalibrated(loaded: LoadedModel, engine: Engine, form: str | None, max_tokens: int) -> Profile:
    """What a model without a profile is used with: text, in the given form, or in the forms that the probe finds."""
    if form is not None:
        return Profile.uncalibrated(loaded, max_tokens, Forms.all_of(form))
    log.warning("%s has no profile: it answers by text, and nothing is patched unless that is asked for", loaded.name)
    try:
        chosen = await probe(loaded, engine)
    except EngineUnavailable as error:  # whoever asks something is told so, and /ready
        log.warning("the probe of forms cannot ask the model (%s): texts are put to it as they stand", error)
        return Profile.uncalibrated(loaded, max_tokens, Forms(ends="phrase"))
    shown = ", ".join(f"{kind} as {getattr(chosen.forms, kind)}" for kind in KINDS)
    log.info("forms of prompts for %s: %s; questions with two hops by %s", loaded.name, shown, chosen.strategy)
    return Profile.uncalibrated(loaded, max_tokens, chosen.forms, chosen.strategy)


def check_form(form: str, profiled: bool) -> None:
    """Raises `InvalidInput` for a form that there is none of, or beside a profile, which has its own."""
    if form not in FORMS:
        raise InvalidInput(f"unknown form {form!r}", hint=f"choose one of {', '.join(FORMS)}", param="form")
    if profiled:
        raise InvalidInput("a profile has its own forms", hint="give a profile or a form, not both", param="form")


def _arguments(given: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    if not isinstance(given, str):
        return given or {}
    try:
        value = json.loads(given)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidInput(
            f"vLLM's arguments are no JSON object: {given}",
            hint='write them as {"tensor_parallel_size": 2}',
            param="vllm_args",
        )
    return value


def _engine(name: str, loaded: LoadedModel, vllm: Callable[[], Backend], deadline: float) -> Engine:
    if name == "vllm":
        return VLLMEngine(loaded, Supervised(vllm), patches=True)
    hf = HFEngine(loaded)
    return SplitEngine(hf, VLLMEngine(loaded, Supervised(vllm)), deadline=deadline) if name == "hf+vllm" else hf
