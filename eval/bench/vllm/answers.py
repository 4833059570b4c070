"""What a corrected answer costs on an engine beside the text pipeline: latency, answers a second, the counted limit.

A closed loop: so many questions are always being answered. Both strategies get the same questions, in turn first and
second; passes that leave the model at each layer follow in the same round and give the cost of a step.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from correction.corrector import Corrector
from correction.passes import Pass, PassResult, Sampling
from eval.bench.vllm.counting import Counted, Counting, fit, limit, steps_of
from eval.bench.vllm.ratios import ratio
from eval.bench.vllm.unstopped import unstopped
from eval.questions import GoldQuestion

STRATEGIES = ("two_step", "deployed")
PLAIN = 0  # in the place of a layer: a pass that asks for nothing


async def compare_answers(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    loads: dict[int, int],
    *,
    rounds: int,
    on_done: Callable[[int], object] = lambda rounds: None,
) -> dict[str, Any]:
    """`loads`: how many questions at once -> how many in a round, the first of `questions`."""
    counted = {name: await _counted(corrector, questions[: max(loads.values())], name) for name in STRATEGIES}
    return {
        "counted": {name: asdict(given) for name, given in counted.items()},
        "at_once": {
            str(load): await _compare(corrector, questions[:count], load, counted, rounds, on_done)
            for load, count in loads.items()
        },
        "standins": dict(corrector.engine.standins),
    }


async def _counted(corrector: Corrector, questions: Sequence[GoldQuestion], strategy: str) -> Counted:
    counting = Counting(corrector.engine, corrector.loaded.shape.depth)
    counted = Corrector(corrector.loaded, counting, corrector.profile, max_tokens=corrector.max_tokens)
    answers = await asyncio.gather(*(counted.answer(question.ask(), strategy) for question in questions))
    assert counting.usage.layer_tokens == sum(answer.usage.layer_tokens for answer in answers)  # nothing ran past it
    return counting.mean(len(questions))


async def _compare(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    load: int,
    counted: dict[str, Counted],
    rounds: int,
    on_done: Callable[[int], object],
) -> dict[str, Any]:
    depth = corrector.loaded.shape.depth
    exits = [*range(1, depth + 1), PLAIN]
    # In hf+vllm passes that leave early run on another engine than plain ones: nothing can be fitted to both.
    fitted = corrector.engine.name != "hf+vllm"
    tokens = max(1, round(counted["two_step"].steps / counted["two_step"].passes))
    walls, latencies = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    steps = defaultdict[int, list[float]](list)
    for number in range(rounds + 1):
        for strategy in STRATEGIES if number % 2 else STRATEGIES[::-1]:
            wall, each = await _answer(corrector, questions, strategy, load)
            if number:  # the first round warms up
                walls[strategy].append(wall)
                latencies[strategy].append(median(each))
        turn = number % len(exits)
        for exit in (*exits[turn:], *exits[:turn]) if fitted else ():
            seconds = await _seconds_of_a_step(corrector, questions, exit, tokens, load)
            if number:
                steps[exit].append(seconds)
        on_done(1)
    found: dict[str, Any] = {
        "questions": len(questions),
        "rounds": rounds,
        "latency_seconds": {name: median(each) for name, each in latencies.items()},
        "answers_per_second": {name: len(questions) / median(each) for name, each in walls.items()},
        "latency_ratio": asdict(ratio(latencies["deployed"], latencies["two_step"])),
        "throughput_ratio": asdict(ratio(walls["two_step"], walls["deployed"])),
        "time_ratio": asdict(ratio(walls["deployed"], walls["two_step"])),
    }
    if fitted:
        medians = {exit: median(each) for exit, each in steps.items()}
        plain = medians.pop(PLAIN)
        cost = fit(plain, medians, depth)
        found["step_seconds"] = {"plain": plain, **{f"left at {k}": v for k, v in sorted(medians.items())}}
        found["cost_seconds"] = asdict(cost)
        found["limit"] = limit(cost, counted["deployed"], counted["two_step"])
        found["over_limit"] = found["time_ratio"]["median"] / found["limit"]
    return found


async def _answer(
    corrector: Corrector, questions: Sequence[GoldQuestion], strategy: str, load: int
) -> tuple[float, list[float]]:
    """Seconds in all, and of each question."""
    each: list[float] = []

    async def answer(question: GoldQuestion) -> None:
        began = time.perf_counter()
        await corrector.answer(question.ask(), strategy)
        each.append(time.perf_counter() - began)

    return await closed_loop(questions, answer, load), each


async def _seconds_of_a_step(
    corrector: Corrector, questions: Sequence[GoldQuestion], exit: int, tokens: int, load: int
) -> float:
    """Of passes on the first hops, as long as those of an answer, that leave at this layer."""
    sampling, encode = Sampling(tokens, 0), corrector.prompts.encode
    passes = [Pass(encode(question.hop1, "hop1"), sampling=sampling, exit=exit or None) for question in questions]
    results: list[PassResult] = []

    async def run(request: Pass) -> None:
        results.append(await corrector.engine.run(request))

    with unstopped(corrector.engine):
        return await closed_loop(passes, run, load) / sum(map(steps_of, results))


async def closed_loop(items: Sequence[Any], work: Callable[[Any], Awaitable[None]], load: int) -> float:
    """Works on all items, on `load` of them at any time; the seconds."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(load)))
    return time.perf_counter() - began
