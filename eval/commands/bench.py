"""`hopfix bench`: how fast it is, measured side by side in one run on this machine."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from eval.bench.sweep import Case

WHAT = ("sweep", "passes", "all", "strategies", "vllm", "serve", "soak", "streaming")
SIDES = "plain,paper,nnsight,nnsight_skip,transformer_lens,pyvene"


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="|".join(WHAT),
            autocompletion=lambda: list(WHAT),
            help="sweep: the layer grid against the paper's protocol and three libraries. passes: what a patch and a "
            "capture cost. all: both, for several sizes, as docs/benchmarks.md has them. strategies: what a corrected "
            "answer of a model costs beside two_step. vllm: what patching costs inside vLLM, and answers by engine. "
            "serve: the service beside the same engine offline, under load and overload. soak: all kinds of requests "
            "for long, each answer checked; exit 1 if anything was lost or wrong. streaming: an evaluation's "
            "memory by the number of its questions.",
        ),
    ],
    sides: Annotated[str, typer.Option(help="Who takes part in the sweep beside hopfix.")] = SIDES,
    peers_python: Annotated[
        str | None, typer.Option(envvar="HOPFIX_PEERS_PYTHON", help="The peers' Python: 'make peers' makes it.")
    ] = None,
    layers: Annotated[int, typer.Option(min=2)] = 12,
    width: Annotated[int, typer.Option(min=32, help="A multiple of 32.")] = 256,
    questions: Annotated[int, typer.Option(min=1)] = 32,
    target_tokens: Annotated[int, typer.Option(min=4, max=448, help="Length of the target prompts.")] = 12,
    max_tokens: Annotated[int, typer.Option(min=1, max=32, help="Tokens of each cell.")] = 1,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Medians are over these; default: 3, of vllm 7, of serve 5.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of torch; default: 2, of serve what it chooses.", show_default=False)
    ] = None,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Time the slow sides on a part of the cells and scale: the paper's protocol on 2 questions, the "
            "libraries on 2 evenly spread target layers, and on 8 questions from 64 tokens on.",
        ),
    ] = False,
    model: Annotated[str, typer.Option(help="Of strategies and vllm: hub id or folder.")] = "demo",
    profile: Annotated[
        str | None, typer.Option(help="Of the same: the model's profile, a folder or on the hub.")
    ] = None,
    questions_file: Annotated[
        Path | None, typer.Option(help="Of the same: a question file; default: the demo world's test set.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1, help="Of each open loop of serve, 15 by default; of soak, 600 by default.", show_default=False
        ),
    ] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="Of soak: ends it, too; 429s do not count.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Of soak.")] = 256,
    vllm_python: Annotated[
        str | None,
        typer.Option(envvar="HOPFIX_VLLM_PYTHON", help="Of serve: a Python with vLLM, to compare with; 'make vllm'."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for benchmarks.json, .md and .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Measure speed and memory, side by side in one run."""
    from eval.bench.sweep import Case

    if what not in WHAT:
        raise typer.BadParameter(f"choose one of {', '.join(WHAT)}", param_hint="WHAT")
    if what == "serve":
        _serve(rounds or 5, seconds or 15.0, threads, vllm_python, as_json)
        return
    if what == "soak":
        _soak(seconds, requests, connections, as_json)
        return
    if what == "streaming":
        _streaming(as_json)
        return
    threads = threads or 2
    if what == "vllm":
        _vllm(model, profile, questions_file, rounds or 7, threads, as_json)
        return
    rounds = rounds or 3
    if what == "strategies":
        _strategies(model, profile, questions_file, max(rounds, 3), threads, as_json)
        return
    if width % 32:
        raise typer.BadParameter("choose a multiple of 32", param_hint="--width")
    base = Case(layers, width, questions, target_tokens, max_tokens)
    results: dict[str, Any] = {"machine": _machine()}
    if what in ("passes", "all"):
        results["passes"] = _passes(base if what == "passes" else Case(target_tokens=64), threads)
    if what in ("sweep", "all"):
        cases = {"sweep": [base]} if what == "sweep" else _all_cases()
        results["sweeps"] = _sweeps(cases, sides.split(","), peers_python, rounds, threads, sample)
    if out is not None:
        _write(results, out)
    single = results["sweeps"]["sweep"][0] if what == "sweep" else results
    if as_json:
        sys.stdout.write(json.dumps(single) + "\n")
    else:
        from eval.bench.report import markdown

        sys.stdout.write(markdown(results))


def _write(results: dict[str, Any], out: Path) -> None:
    from eval.bench.report import markdown, picture

    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "benchmarks.md").write_text(markdown(results), encoding="utf-8")
    if "sweeps" in results:
        picture(results, out / "benchmarks.png")


def _all_cases() -> dict[str, list[Case]]:
    """The tables of docs/benchmarks.md: two grids at three lengths, and growth with L, N and T."""
    from eval.bench.sweep import Case, growth

    return {
        "first token": growth(Case(), "target_tokens", [12, 64, 256]),
        "8 tokens": growth(Case(max_tokens=8), "target_tokens", [12, 64, 256]),
        "growth with L": growth(Case(questions=8, target_tokens=64), "layers", [6, 12, 24]),
        "growth with N": growth(Case(target_tokens=64), "questions", [8, 16, 32]),
    }


def _strategies(
    model: str, profile: str | None, questions: Path | None, rounds: int, threads: int, as_json: bool
) -> None:
    import asyncio

    import torch

    from correction.loading import open_corrector
    from eval.bench.strategies import compare_strategies, strategies_markdown
    from eval.commands import progress
    from eval.demo_world.suite import demo_suite
    from eval.suite import load_suite

    async def compare() -> dict[str, Any]:
        asked = (load_suite(questions) if questions else demo_suite())["test"]
        corrector = await open_corrector(model, profile=profile)
        try:
            with progress.bar("rounds", 2 * (rounds + 1)) as advance:
                return await compare_strategies(corrector, asked, rounds=rounds, on_done=advance)
        finally:
            await corrector.engine.close()

    torch.set_num_threads(threads)
    results = {"model": model, "machine": _machine(), "groups": asyncio.run(compare())}
    sys.stdout.write(json.dumps(results) + "\n" if as_json else strategies_markdown(results))


def _vllm(model: str, profile: str | None, questions: Path | None, rounds: int, threads: int, as_json: bool) -> None:
    import torch

    from eval.bench.vllm.comparison import LOADS, SHAPES, compare_vllm
    from eval.bench.vllm.report import markdown
    from eval.commands import progress
    from eval.demo_world.suite import demo_suite
    from eval.suite import load_suite

    torch.set_num_threads(threads)
    asked = (load_suite(questions) if questions else demo_suite())["test"]
    with progress.bar("rounds", (rounds + 1) * (len(SHAPES) + 3 * len(LOADS))) as advance:
        compared = compare_vllm(model, profile, asked, rounds=rounds, on_done=advance)
    results = {"model": model, "machine": _machine(), **compared}
    sys.stdout.write(json.dumps(results) + "\n" if as_json else markdown(results))


def _serve(rounds: int, seconds: float, threads: int | None, vllm_python: str | None, as_json: bool) -> None:
    from eval.bench.serve.comparison import compare_serve, steps
    from eval.bench.serve.report import markdown
    from eval.commands import progress

    with progress.bar("loads", steps(rounds, vllm_python is not None)) as advance:
        compared = compare_serve(
            rounds=rounds, seconds=seconds, threads=threads, vllm_python=vllm_python, on_done=advance
        )
    results = {"machine": _machine(), **compared}
    sys.stdout.write(json.dumps(results) + "\n" if as_json else markdown(results))


def _soak(seconds: float | None, requests: int | None, connections: int, as_json: bool) -> None:
    from eval.bench.serve.soak import soak, sound
    from eval.bench.serve.soak_report import markdown
    from eval.commands import progress

    if seconds is None and requests is None:
        seconds = 600.0
    with progress.bar("seconds", round(seconds) if seconds else None) as advance:
        done = soak(seconds=seconds, requests=requests, connections=connections, on_second=advance)
    results = {"machine": _machine(), **done}
    sys.stdout.write(json.dumps(results) + "\n" if as_json else markdown(results))
    if not sound(results):
        raise typer.Exit(1)


def _streaming(as_json: bool) -> None:
    from eval.bench.streaming import COUNTS, measure_streaming, streaming_markdown
    from eval.commands import progress

    with progress.bar("runs", len(COUNTS)) as advance:
        results = {"machine": _machine(), **measure_streaming(on_done=advance)}
    sys.stdout.write(json.dumps(results) + "\n" if as_json else streaming_markdown(results))


def _passes(case: Case, threads: int) -> dict[str, Any]:
    from eval.bench.passes import compare_passes
    from eval.commands import progress

    rounds = 15
    with progress.bar("passes", 2 * rounds) as advance:
        return compare_passes(case, rounds=rounds, threads=threads, on_done=advance)


def _sweeps(
    cases: dict[str, list[Case]], sides: list[str], peers: str | None, rounds: int, threads: int, sample: bool
) -> dict[str, Any]:
    from eval.bench.sweep import Share, compare, make_model, spread
    from eval.bench.workers import OWN, started
    from eval.commands import progress

    names = ["hopfix", *(side for side in sides if side != "hopfix")]
    results: dict[str, Any] = {}
    total = sum(len(given) for given in cases.values()) * rounds * len(names)
    with started(names, peers) as workers, tempfile.TemporaryDirectory() as folder, progress.bar("runs", total) as bar:
        for title, given in cases.items():
            results[title] = []
            for number, case in enumerate(given):
                model = Path(folder) / f"{title} {number}"
                make_model(case, model)
                # Long prompts on fewer questions: a batch is full all the same.
                part = Share(min(case.questions, 32 if case.target_tokens < 64 else 8), spread(case.layers, 2))
                shares = {name: part for name in names if name not in OWN}
                shares["paper"] = Share(min(2, case.questions), tuple(range(case.layers)))
                done = compare(
                    case,
                    {name: workers[name] for name in names if name != "nnsight_skip" or case.max_tokens == 1},
                    model,
                    rounds=rounds,
                    threads=threads,
                    shares=shares if sample else None,
                    on_done=bar,
                )
                results[title].append(done)
    return results


def _machine() -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), processor)
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.system()}
