"""The benchmark's results as Markdown tables and a picture: docs/benchmarks.md is printed by this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {
    "paper": "paper's protocol",
    "nnsight": "nnsight",
    "nnsight_skip": "nnsight, skip",
    "transformer_lens": "TransformerLens",
    "pyvene": "pyvene",
}
METHOD = """# Benchmarks

`make benchmarks` prints this page, `hopfix bench sweep` any one grid of it. Random-weight Llama models, random
prompts; a source prompt has 10 tokens, and i* is 3 tokens before the end of the target prompt. All sides compute the
same cells on the same model, one after the other in every round, each in a process of its own that has done one batch
to warm up; a ratio is the median over rounds of the ratio within a round; the order of the sides rotates.

- *hopfix*: `correction.grid`.
- *paper's protocol*: from the paper's description; for every cell the source prompt and the target prompt in full,
  one at a time, in transformers with hooks.
- *nnsight*, *TransformerLens*, *pyvene*: source states of all layers read once, questions and cells batched (64 rows
  or 2,048 tokens), logits at the last position, KV cache in generation, as their documentation has it. *nnsight,
  skip* also keeps a clean run of the targets and skips the blocks below a patch: no example of nnsight's does that,
  but its documentation has the parts. TransformerLens runs attention code of its own, for its hook points, and its
  `start_at_layer` still runs the blocks below. None of them shares the target's prefix between cells.
- The *counted limit* is the ratio of layer-tokens, clean runs included: what would be measured if a layer-token cost
  the same everywhere. A measured ratio can be above it where the other side has more to do than layer-tokens.
- *Changed*: the cells whose tokens the patch changes, which is what makes agreement worth something. A cell whose
  best two log-probabilities are nearer than 0.001 at any step is a tie and left out of the agreement.
- Memory is the growth of peak resident size over the loaded model, warm-up included.

The service under load and overload, and beside two text calls on vLLM's own server:
[benchmarks-serve.md](benchmarks-serve.md), and for long: [soak.md](soak.md). Patching inside vLLM:
[benchmarks-vllm.md](benchmarks-vllm.md).
"""
AXES = {"growth with L": ("layers", "L"), "growth with N": ("questions", "N")}


def markdown(results: dict[str, Any]) -> str:
    """The method and all tables of a result of `hopfix bench`."""
    machine = results["machine"]
    lines = [METHOD, f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}.", ""]
    for title, cases in results.get("sweeps", {}).items():
        lines += _sweep(title, cases)
    if "passes" in results:
        lines += _passes(results["passes"])
    if len(results.get("sweeps", {})) > 1:
        lines += ["![Times faster than each other side, by the target prompt's length](benchmarks.png)"]
    return "\n".join(lines).rstrip() + "\n"


def _sweep(title: str, cases: list[dict[str, Any]]) -> list[str]:
    first = cases[0]
    others = list(first["speedup"])
    axis, name = AXES.get(title, ("target_tokens", "T"))
    versions = {k: v for given in first["versions"].values() for k, v in given.items()}
    lines = [
        f"## {title[0].upper()}{title[1:]}",
        "",
        f"{first['layers']} layers, width {first['width']}, {first['questions']} questions, "
        f"{first['target_tokens']} target tokens, {first['max_tokens']} generated, unless the row says otherwise; "
        f"{first['rounds']} rounds, {first['threads']} threads, float32. "
        + ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
        + ".",
        "",
        _row([name, "hopfix, s", *(f"{NAMES.get(o, o)}, s" for o in others)]),
        _rule(2 + len(others)),
    ]
    lines += [
        _row([str(c[axis]), f"{c['seconds']['hopfix']:.2f}", *(f"{c['seconds'][o]:.1f}" for o in others)])
        for c in cases
    ]
    lines += [
        "",
        "Times faster than each (its counted limit in brackets); clear cells with the same tokens, the least of all; "
        "peak memory beyond the loaded model of hopfix, and in brackets of a plain batched generation of the prompts:",
        "",
        _row([name, *(NAMES.get(o, o) for o in others), "same cells", "changed", "peak MB"]),
        _rule(4 + len(others)),
    ]
    for c in cases:
        agreed = [c["agreement"][o] for o in others]
        least = min((a["same"] for a in agreed), default=1.0)
        plain = f" ({c['peak_mb']['plain']:.0f})" if "plain" in c["peak_mb"] else ""
        peaks = f"{c['peak_mb']['hopfix']:.0f}{plain}"
        speedups = (f"{c['speedup'][o]:.1f} ({c['counted_limit'][o]:.1f})" for o in others)
        lines.append(_row([str(c[axis]), *speedups, f"{100 * least:.2f} %", _percent(c["changed"]), peaks]))
    parts = {NAMES.get(o, o): [_part(c, o) for c in cases] for o in others}
    sampled = [f"{name}: {', '.join(given)}" for name, given in parts.items() if all(given)]
    if sampled:
        whole = "Timed on a part of the cells, questions x target layers in each row, and scaled to all: "
        lines += ["", whole + "; ".join(sampled) + "."]
    return [*lines, ""]


def _passes(result: dict[str, Any]) -> list[str]:
    ratios = result["generation_over_plain"]
    layers = result["capture_over_prefill"]
    return [
        "## Patches and captures",
        "",
        f"{result['questions']} prompts of {result['prompt_tokens']} tokens, {result['generated_tokens']} generated, "
        f"{result['layers']} layers, width {result['width']}, medians of {result['rounds']} pairs.",
        "",
        f"Generation with a patch in every row costs {ratios['patched']:.3f} of plain generation, with a capture "
        f"{ratios['captured']:.3f}.",
        "",
        "The state of one layer, as a fraction of a full prefill (l / L in brackets):",
        "",
        _row(["layer", *layers]),
        _rule(1 + len(layers)),
        _row(["cost", *(f"{cost:.2f} ({int(k) / result['layers']:.2f})" for k, cost in layers.items())]),
        "",
    ]


def picture(results: dict[str, Any], path: Path) -> None:
    """Times faster than each other side by the target prompt's length, with the counted limits dashed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator

    titles = [title for title in results["sweeps"] if title not in AXES]
    figure, plots = plt.subplots(1, len(titles), figsize=(5.2 * len(titles), 4), squeeze=False, layout="constrained")
    for plot, title in zip(plots[0], titles, strict=True):
        cases = results["sweeps"][title]
        lengths = [case["target_tokens"] for case in cases]
        for side in cases[0]["speedup"]:
            colour = f"C{list(NAMES).index(side)}"
            plot.plot(lengths, [c["speedup"][side] for c in cases], "o-", color=colour, label=NAMES.get(side, side))
            plot.plot(lengths, [c["counted_limit"][side] for c in cases], "--", color=colour, alpha=0.5)
        plot.set(xscale="log", yscale="log", xlabel="target prompt, tokens", title=f"Layer grid, {title}")
        plot.set_xticks(lengths, [str(n) for n in lengths])
        plot.minorticks_off()
        plot.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plot.yaxis.set_major_formatter("{x:g}")
        plot.grid(alpha=0.3)
    plots[0][0].set_ylabel("times faster (dashed: counted limit)")
    plots[0][0].legend()
    figure.savefig(path)
    plt.close(figure)


def _part(case: dict[str, Any], side: str) -> str:
    timed = case["timed_on"][side]
    whole = (timed["questions"], timed["target_layers"]) == (case["questions"], case["layers"])
    return "" if whole else f"{timed['questions']} x {timed['target_layers']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "| --- " + "| ---: " * (columns - 1) + "|"
