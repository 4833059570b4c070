"""What a patch and a capture cost inside vLLM, and what the plugin costs where nobody asks anything of it.

All sides run passes of the same tokens but for the first, generate as many, and rotate within each round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from eval.bench.vllm.process import KINDS, WITH, WITHOUT, Job, Process
from eval.bench.vllm.ratios import ratio

NONE = "no plugin"
SIDES = (NONE, *KINDS)


@dataclass(frozen=True)
class Shape:
    """What a pass is like."""

    prompt_tokens: int
    generated_tokens: int


DEMO, REALISTIC = Shape(12, 4), Shape(48, 16)


def compare_plugin(
    processes: dict[str, Process],
    shapes: Sequence[Shape],
    *,
    passes: int,
    rounds: int,
    on_done: Callable[[int], object] = lambda rounds: None,
) -> list[dict[str, Any]]:
    """For each shape the seconds of each side, throughput over plain passes on the same engine, and idle over none."""
    return [_compare(processes, shape, passes, rounds, on_done) for shape in shapes]


def _compare(
    processes: dict[str, Process], shape: Shape, passes: int, rounds: int, on_done: Callable[[int], object]
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {side: [0.0] * (rounds + 1) for side in SIDES}
    said: dict[str, dict[str, Any]] = {}
    for number in range(rounds + 1):
        for turn in range(len(SIDES)):  # within a round each side has each place once
            for side in (*SIDES[turn:], *SIDES[:turn]):
                process, kind = (processes[WITHOUT], "plain") if side == NONE else (processes[WITH], side)
                run = number * len(SIDES) + turn
                said[side] = process.run(Job(kind, shape.prompt_tokens, shape.generated_tokens, passes, run))
                seconds[side][number] += said[side]["seconds"]
        on_done(1)
    seconds = {side: spent[1:] for side, spent in seconds.items()}  # the first round warms up
    total = len(SIDES) * passes
    return {
        **asdict(shape),
        "passes": passes,
        "runs": len(SIDES),
        "rounds": rounds,
        "seconds": {side: median(spent) for side, spent in seconds.items()},
        "passes_per_second": {side: total / median(spent) for side, spent in seconds.items()},
        "throughput_over_plain": {
            kind: asdict(ratio(seconds["plain"], seconds[kind])) for kind in KINDS if kind != "plain"
        },
        "idle_plugin_over_none": asdict(ratio(seconds[NONE], seconds["plain"])),
        "did": {
            side: {name: given[name] for name in ("generated", "patched", "states")} for side, given in said.items()
        },
    }
