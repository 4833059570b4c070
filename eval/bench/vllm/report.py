"""docs/benchmarks-vllm.md: how it was measured, the tables, and what was reached and what was not."""

from __future__ import annotations

from typing import Any

from eval.bench.vllm.plugin import NONE
from eval.tables import markdown_table

PATCHED_GOAL, IDLE_GOAL, LIMIT_GOAL = 0.95, 0.98, 1.1
NAMES = {
    NONE: "no plugin, plain",
    "plain": "plugin, plain",
    "vocabulary": "vocabulary patch into layer 0",
    "identity": "identity patch into a middle layer",
    "capture": "capture with follow",
}
INTRODUCTION = """# Benchmarks of vLLM

`hopfix bench vllm` prints this page (`make benchmarks-vllm` writes it): what patching costs inside vLLM, and what a
corrected answer costs on each engine beside the text pipeline. All sides of a table run in one go on one machine, in
turn in every round; the first round warms up and does not count. A ratio is the median over rounds of the ratio within
a round, and in brackets stand the least and the most of any round. No answer is kept from one round to the next.
"""
PASSES = """## Patches inside vLLM

Of throughput, so 1.00 is "costs nothing". Two vLLMs are alive, each in a process of its own: one started with hopfix's
plugin, one in whose environment no plugin is loaded. {passes} passes are given to one of them at once, {runs} times a
round. Every side has the same random tokens and generates as many, since nothing stops it; the first token of a prompt
is new in each run, so that vLLM's prefix cache helps nobody. A patch writes a random state, another one in every pass,
three tokens before the end of the prompt; a capture reads a middle layer at the last token and at each token after it.
What hopfix does around a pass (writing the request, reading the result) is in the time.
"""
ANSWERS = """## Answers by engine

{questions} questions of the test set, the first of them where fewer are asked at once; `two_step` is two plain passes,
`deployed` what the profile does. "At once" is a closed loop: so many questions are always being answered. Latency is
the median over the questions of a round. One engine is open at a time. Ratios are `deployed` over `two_step`: a latency
ratio below 1 and a throughput ratio above 1 speak for `deployed`.
"""
LIMIT = """## What counting allows

The counted limit is the time that `deployed` would take over that of `two_step` if an answer cost nothing but its
steps, each a fixed part and a part for every layer that it runs. Both parts are fitted to passes on the same prompts
that leave the model at each of its layers, run in the same rounds with as many at once.

A step is one token of one pass, the one that stops it included. The limit counts each pass alone, so "over the limit"
is what the rest costs: patches, captures, lenses, and batches whose passes leave at different layers. In `hf+vllm` the
two strategies run on two engines, so that no such limit can be had.
"""


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    machine, versions = results["machine"], results["versions"]
    parts = [
        INTRODUCTION,
        f"Model `{results['model']}`. Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". {results['rounds']} rounds.\n",
        _passes(results["passes"]),
        _answers(results["engines"]),
        _limits(results["engines"]),
        "## What was reached\n\n" + "\n".join(f"- {line}" for line in reached(results)) + "\n",
    ]
    return "\n".join(parts)


def _passes(shapes: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"{shape['prompt_tokens']} + {shape['generated_tokens']}, {NAMES[side]}",
            f"{per_second:.0f}",
            _range(shape["throughput_over_plain"].get(side)),
            _range(shape["idle_plugin_over_none"]) if side == "plain" else "",
        ]
        for shape in shapes
        for side, per_second in shape["passes_per_second"].items()
    ]
    columns = ["tokens: prompt + generated, side", "passes a second", "over plain", "idle plugin over none"]
    text = PASSES.format(passes=shapes[0]["passes"], runs=shapes[0]["runs"])
    return f"{text}\n{markdown_table(columns, rows)}\n"


def _answers(engines: dict[str, Any]) -> str:
    columns = ["engine, at once", "two_step, ms", "deployed, ms", "latency", "two_step, a second", "deployed, a second"]
    rows = [
        [
            f"`{engine}`, {load}",
            *(f"{1000 * at['latency_seconds'][name]:.1f}" for name in ("two_step", "deployed")),
            _range(at["latency_ratio"]),
            *(f"{at['answers_per_second'][name]:.1f}" for name in ("two_step", "deployed")),
            _range(at["throughput_ratio"]),
        ]
        for engine, given in engines.items()
        for load, at in given["at_once"].items()
    ]
    questions = max(at["questions"] for given in engines.values() for at in given["at_once"].values())
    standins = [f"`{name}`: {given['standins']}" for name, given in engines.items() if given["standins"]]
    note = f"\nPasses that another engine ran in vLLM's place: {'; '.join(standins)}.\n" if standins else ""
    return (
        f"{ANSWERS.format(questions=questions)}\n{markdown_table([*columns, 'throughput'], rows)}\n{note}"
        f"\n{_counted(engines)}\n"
    )


def _counted(engines: dict[str, Any]) -> str:
    columns = ["an answer takes", "passes", "prompt tokens", "generated tokens", "steps", "layer-steps", "layer-tokens"]
    rows = [
        [f"`{engine}`, {strategy}", *(f"{number:.2f}" for number in counted.values())]
        for engine, given in engines.items()
        for strategy, counted in given["counted"].items()
    ]
    return markdown_table(columns, rows)


def _limits(engines: dict[str, Any]) -> str:
    columns = ["engine, at once", "a step: fixed, ms", "a layer, ms", "time", "counted limit", "over the limit"]
    rows = [
        [
            f"`{engine}`, {load}",
            *(f"{1000 * at['cost_seconds'][part]:.3f}" for part in ("fixed", "layer")),
            _range(at["time_ratio"]),
            f"{at['limit']:.3f}",
            f"{at['over_limit']:.3f}",
        ]
        for engine, given in engines.items()
        for load, at in given["at_once"].items()
        if "limit" in at
    ]
    return f"{LIMIT}\n{markdown_table(columns, rows)}\n"


def reached(results: dict[str, Any]) -> list[str]:
    """A sentence for each goal and case."""
    lines = []
    for shape in results["passes"]:
        case = f"{shape['prompt_tokens']} + {shape['generated_tokens']} tokens"
        for kind, found in shape["throughput_over_plain"].items():
            lines.append(_at_least(f"{case}, {NAMES[kind]}, over plain throughput", found["median"], PATCHED_GOAL))
        lines.append(_at_least(f"{case}, idle plugin over none", shape["idle_plugin_over_none"]["median"], IDLE_GOAL))
    for load, at in results["engines"].get("vllm", {"at_once": {}})["at_once"].items():
        over, what = at["over_limit"], f"`vllm`, {load} at once, over the counted limit"
        verdict = "reached" if over <= LIMIT_GOAL else "**not reached**"
        if min(at["cost_seconds"].values()) > 0:
            lines.append(f"{what}: {over:.3f}, goal at most {LIMIT_GOAL}: {verdict}.")
        else:  # a limit from a negative cost could make anything look reached
            lines.append(f"{what}: **not measured**, a busy machine gave a step a negative cost.")
    return lines


def _at_least(what: str, found: float, goal: float) -> str:
    return f"{what}: {found:.3f}, goal at least {goal}: {'reached' if found >= goal else '**not reached**'}."


def _range(found: dict[str, float] | None) -> str:
    return f"{found['median']:.3f} ({found['least']:.2f} to {found['most']:.2f})" if found else ""
