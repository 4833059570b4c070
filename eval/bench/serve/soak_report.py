"""docs/soak.md: what was asked, what became of it, and the verdict."""

from __future__ import annotations

from typing import Any

from eval.bench.serve.soak import AFTERWARDS, FLAT, MIX, sound
from eval.bench.serve.traffic import (
    CROSSED,
    FAILED,
    GONE,
    LATE,
    LOST,
    REFUSED,
    RIGHT,
    TURNED_AWAY,
    UNEXPECTED,
    WRONG,
)
from eval.tables import markdown_table

VERDICTS = (RIGHT, REFUSED, TURNED_AWAY, GONE, WRONG, CROSSED, LOST, LATE, FAILED, UNEXPECTED)
KINDS = {
    "single": "one question",
    "listed": "list of 4",
    "lines": "list of 8, streamed as lines",
    "completion": "completion",
    "completion_stream": "plain completion, streamed",
    "chat": "chat",
    "chat_stream": "chat, streamed",
    "bad": "bad requests",
    "gone": "clients that leave midway",
}
INTRODUCTION = """# Soak

`hopfix bench soak` prints this page (`make soak` writes it): {connections} connections, from 16 addresses, ask one
`hopfix serve` with its default settings all kinds of requests at random, each again as soon as it was answered. Every
answer is compared with what the same engine says to the same question offline: *wrong* has another text, *crossed*
tells of another question, *lost* had no whole answer, *failed* is a 5xx or an error in place of an answer. A client
that is turned away (429) comes again after the time in Retry-After. {distinct} distinct questions, which come again
when all were asked; nothing is cached. Afterwards 64 clients ask 256 questions more, to see that no place was lost.
"""


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    machine, memory = results["machine"], results["memory"]
    counts = results["counts"]
    rows = [_row(KINDS[kind], counts[kind]) for kind, _ in MIX if kind in counts]
    total = {verdict: sum(given.get(verdict, 0) for given in counts.values()) for verdict in VERDICTS}
    statuses = ", ".join(f"{count} times {status}" for status, count in results["statuses"].items())
    right = results["latency_ms"][RIGHT]
    lines = [
        INTRODUCTION.format(**results),
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}.\n",
        markdown_table(["", "requests", *VERDICTS], [*rows, _row("all", total)]) + "\n",
        f"- {results['seconds']:.0f} s; {results['answers']} questions answered, "
        f"{results['answers'] / results['seconds']:.0f} a second; {results['received_mb']:.0f} MB received.",
        f"- Statuses: {statuses}.",
        f"- What was answered took {right['p50']:.0f} ms (p50), {right['p99']:.0f} ms (p99), lists included.",
        f"- CPU: the server {results['cpu']['server']:.0f} s, the load generator {results['cpu']['generator']:.0f} s.",
        f"- Memory, after the first tenth of the time: {memory['first']:.0f} MB (median of the first quarter), "
        f"{memory['last']:.0f} MB (of the last), {results['memory_growth']:+.1%}, at most {FLAT:.0%} is flat; "
        f"least-squares slope {memory['slope']:+.1f} MB an hour.",
        f"- Afterwards: {results['afterwards']} of {AFTERWARDS} questions answered rightly.",
        f"- Verdict: {results['faults']} faults, **{'passed' if sound(results) else 'failed'}**.",
        *(f"- `{example}`" for example in results["examples"]),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, given: dict[str, int]) -> list[str]:
    return [name, str(sum(given.values())), *(str(given.get(verdict, 0)) for verdict in VERDICTS)]
