"""docs/benchmarks-serve.md: how it was measured, the tables, and what was reached and what was not."""

from __future__ import annotations

from typing import Any

from eval.bench.serve.comparison import PIPELINE
from eval.tables import markdown_table

OFFLINE_GOAL, TAIL_GOAL, OVERLOAD_GOAL = 0.7, 3.0, 1.5
INTRODUCTION = """# Benchmarks of the service

`hopfix bench serve` prints this page (`make benchmarks-serve` writes it): what HTTP costs beside the same engine in a
program of its own, how long answers take under load, and what happens when more is asked than can be answered.

`hopfix serve` runs as a process of its own with its default settings (no cache of answers) on the bundled model; the
load generator is another process, on the same cores. It speaks HTTP/1.1 on kept connections, one question a request
(`POST /v1/answer` with the question's text alone), and checks every answer against what the same engine says to the
same question offline. {distinct} distinct questions; one comes again only when all others were asked. A round measures
all sides in turn; figures are medians over {rounds} rounds, in brackets the least and the most of any round. A ratio is
taken within a round.
"""
THROUGHPUT = """## Throughput

A closed loop: {clients} clients, each asks again when it was answered; {questions} questions a round. Offline as many
questions are answered in lists of {clients} (`Corrector.answer_all`), in a process that does nothing else. CPU is in
cores: what the server's event loop, its other threads (the model's) and the load generator took of each second; the
rest is idle, or the system's.
"""
LATENCY = """## Latency and overload

Open loops: requests arrive at random (Poisson) at a share of {capacity:.0f} a second, the closed loop's throughput, for
{seconds:g} s a round, whether others were answered or not. A latency counts from the arrival, what the generator itself
was late included (p99 in the last column). What is turned away has status 429.
"""
SERVERS = """## Beside two text calls on vLLM's own server

A closed loop of {clients} clients as above. `two_step` is what a client does without hopfix: two calls of
`/v1/completions` on vLLM's own OpenAI server (the version, arguments and model that hopfix runs vLLM with), the bridge
that the first call gave written into the second; the client knows the hops, which hopfix has to read from the question.
All three servers are alive, one at a time is asked. CPU is the server's; "not as offline" are the answers of the worst
round that the engine `hf` does not give to the same prompts.
"""


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    machine = results["machine"]
    parts = [
        INTRODUCTION.format(**results),
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}.\n",
        f"{THROUGHPUT.format(**results)}\n{_throughput(results)}\n",
        f"{LATENCY.format(**results)}\n{_latency(results)}\n",
    ]
    if results["servers"]:
        parts.append(f"{SERVERS.format(**results)}\n{_servers(results['servers'])}\n")
    parts.append("## What was reached\n\n" + "\n".join(f"- {line}" for line in reached(results)) + "\n")
    return "\n".join(parts)


def _throughput(results: dict[str, Any]) -> str:
    closed = results["closed"]
    rows = [
        ["offline", _range(results["offline"], 0), "", "", "", "", "", ""],
        [
            "HTTP",
            _range(closed["answers_per_second"], 0),
            _range(results["over_offline"], 2),
            *_milliseconds(closed),
            *(f"{closed[name]['median']:.2f}" for name in ("first_thread", "other_threads", "generator")),
            f"{closed['rest']['median']:.2f}",
        ],
    ]
    columns = ["", "answers a second", "over offline", "p50, ms", "p99, ms", "CPU: event loop", "model", "generator"]
    rows[0].append("")
    return markdown_table([*columns, "idle and rest"], rows)


def _latency(results: dict[str, Any]) -> str:
    loads = {f"closed, {results['clients']} clients": results["at_capacity"]}
    loads |= {f"open, {float(share):g} of capacity": found for share, found in results["open"].items()}
    rows = [
        [
            name,
            _range(found["answers_per_second"], 0),
            *_milliseconds(found),
            _range(found["p99_over_p50"], 2),
            f"{found['turned_away']['median'] / found['requests']['median']:.1%}",
            _range(found.get("turned_away_p99"), 0),
            f"{found['late_p99']['median']:.0f}" if "late_p99" in found else "",
        ]
        for name, found in loads.items()
    ]
    columns = ["", "answers a second", "p50, ms", "p99, ms", "p99 / p50", "turned away", "p99 of a 429, ms", "late, ms"]
    return markdown_table(columns, rows)


def _servers(servers: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _range(found["answers_per_second"], 0),
            f"{found['over']:.2f}",
            *_milliseconds(found),
            f"{found['cpu_ms_per_answer']['median']:.1f}",
            f"{found['faults']['most']:.0f}",
        ]
        for name, found in servers.items()
    ]
    columns = ["", "answers a second", "over two_step", "p50, ms", "p99, ms", "CPU an answer, ms", "not as offline"]
    return markdown_table(columns, rows)


def reached(results: dict[str, Any]) -> list[str]:
    """A sentence for each goal."""
    calm, flood = results["open"]["0.7"], results["open"]["4.0"]
    ours = [found for name, found in results["servers"].items() if name != PIPELINE]
    loads = [results["closed"], results["at_capacity"], *results["open"].values(), *ours]
    faults = sum(found["faults"]["most"] for found in loads)
    lines = [
        _goal("HTTP over offline throughput", results["over_offline"]["median"], OFFLINE_GOAL, least=True),
        _goal("p99 over p50 at 0.7 of capacity", calm["p99_over_p50"]["median"], TAIL_GOAL),
        _goal(
            "p99 at 4 times capacity over the closed loop's", results["overload_over_closed"]["median"], OVERLOAD_GOAL
        ),
        _goal("p99 at 4 times capacity over that at 1", results["overload_over_open"]["median"], OVERLOAD_GOAL),
        f"Answers a second at 4 times capacity: {flood['answers_per_second']['median'] / results['capacity']:.2f} of "
        "capacity.",
        f"Lost, crossed, wrong, failed or timed out requests: {faults:g}, goal 0: {_verdict(faults == 0)}.",
    ]
    return lines + [f"`{example}`" for example in results["examples"]]


def _goal(what: str, found: float, goal: float, *, least: bool = False) -> str:
    met = found >= goal if least else found <= goal
    return f"{what}: {found:.2f}, goal at {'least' if least else 'most'} {goal:g}: {_verdict(met)}."


def _verdict(met: bool) -> str:
    return "reached" if met else "**not reached**"


def _milliseconds(found: dict[str, Any]) -> list[str]:
    return [_range(found[name], 0) for name in ("p50", "p99")]


def _range(found: dict[str, float] | None, digits: int) -> str:
    if found is None:
        return ""
    return f"{found['median']:.{digits}f} ({found['least']:.{digits}f} to {found['most']:.{digits}f})"
