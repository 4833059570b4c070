"""`hopfix bench passes`: what a patch costs in generation, and what reading a state costs at each layer.

Pairs are run back to back and the ratio is taken within a pair, since a shared machine drifts.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from correction.architecture import Blocks
from correction.forward import generate, states
from correction.passes import Capture, Pass, Patch, Sampling
from eval.bench.sweep import Case, make_model


def compare_passes(
    case: Case,
    *,
    generated: int = 16,
    rounds: int = 15,
    threads: int = 2,
    on_done: Callable[[int], None] = lambda runs: None,
) -> dict[str, Any]:
    """Patched and captured generation over plain generation; states by layer over a full prefill."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            make_model(case, Path(folder))
            model = AutoModelForCausalLM.from_pretrained(folder).eval()
        return _compare(case, model, generated, rounds, threads, on_done)
    finally:
        torch.set_num_threads(before)


def _compare(
    case: Case, model: PreTrainedModel, generated: int, rounds: int, threads: int, on_done: Callable[[int], None]
) -> dict[str, Any]:
    dice = random.Random(0)
    parts = Blocks.of(model)
    prompts = [
        tuple(dice.randrange(5, case.vocabulary) for _ in range(case.target_tokens)) for _ in range(case.questions)
    ]
    sampling = Sampling(generated, 0)
    state = torch.zeros(case.width)
    plain = [Pass(p, sampling=sampling) for p in prompts]
    patched = [Pass(p, patches=(Patch(case.layers // 2, -3, state),), sampling=sampling) for p in prompts]
    captured = [Pass(p, (Capture(case.layers // 2),), sampling=sampling) for p in prompts]

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    def run(passes: list[Pass]) -> float:
        return seconds(lambda: generate(model, parts, passes, stop=frozenset(), pad=0))

    def prefill() -> float:
        with torch.inference_mode():
            return seconds(lambda: model.base_model(input_ids=torch.tensor(prompts), use_cache=False))

    for passes in (plain, patched, captured):
        run(passes)
    ratios: dict[str, list[float]] = {"patched": [], "captured": []}
    for _ in range(rounds):
        base = run(plain)
        ratios["patched"].append(run(patched) / base)
        ratios["captured"].append(run(captured) / base)
        on_done(1)
    layers: dict[int, list[float]] = {layer: [] for layer in range(case.layers + 1)}
    for _ in range(rounds):
        full = prefill()
        for layer, values in layers.items():
            values.append(seconds(lambda layer=layer: states(model, parts, prompts, [layer], pad=0)) / full)  # type: ignore[misc]
        on_done(1)
    return {
        "layers": case.layers,
        "width": case.width,
        "questions": case.questions,
        "prompt_tokens": case.target_tokens,
        "generated_tokens": generated,
        "rounds": rounds,
        "threads": threads,
        "generation_over_plain": {name: median(values) for name, values in ratios.items()},
        "capture_over_prefill": {str(layer): median(values) for layer, values in layers.items()},
    }
