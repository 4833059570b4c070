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
from correction.errors import InvalidInput
from correction.hub import profile_folder
from correction.models import DEMO, LoadedModel, demo_profile_folder, load_model, resolve_device
from correction.profile import Profile
from correction.supported import ENGINES

log = logging.getLogger(__name__)


async def open_corrector(
    model: str = DEMO,
    *,
    profile: Path | str | None = None,
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
    `hopfix calibrate` wrote, or ORG/NAME[@REVISION] on the hub; without one the demo model has its own, and any other
    model is used without one, which is logged as a warning. engine: `hf`, `hf+vllm` or `vllm`. device: `cpu`, `cuda`,
    `cuda:N`, `balanced` (all GPUs) or `auto`. dtype: `float32`, `bfloat16`, `float16` or `auto`. max_tokens: the most
    tokens of a bridge, and of an answer.

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
    if profile is None and model == DEMO:
        profile = demo_profile_folder()
    chosen = Profile.load(await asyncio.to_thread(profile_folder, profile)) if profile else None
    weights = engine != "vllm"  # else vLLM holds the only copy
    loaded = await asyncio.to_thread(load_model, model, device=device, dtype=dtype, weights=weights)
    if chosen is None:
        log.warning("%s has no profile: using the vocabulary mapping from the last layer into layer 0", model)

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
        corrector = Corrector(loaded, started, chosen, max_tokens=max_tokens)
        await started.start()
    except BaseException:
        await started.close()
        raise
    return corrector


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
