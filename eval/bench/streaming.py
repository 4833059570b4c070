"""How much memory an evaluation takes by the number of its questions: `hopfix eval` as a process of its own each time.

The worst case for what has to be kept: every question is about a bridge of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from correction.errors import EngineUnavailable
from eval.demo_world.suite import demo_suite
from eval.tables import markdown_table

COUNTS = (1_000, 10_000, 100_000)
STRATEGIES = "direct,deployed"


def measure_streaming(
    counts: Sequence[int] = COUNTS, on_done: Callable[[int], None] = lambda n: None
) -> dict[str, Any]:
    """Peak resident memory (bytes), file size (bytes) and seconds of a run of each count of questions."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"{count}.jsonl"
            _write(path, count)
            rows.append({"questions": count, "file": path.stat().st_size, **_run(path, Path(folder) / str(count))})
            on_done(1)
    return {"strategies": STRATEGIES, "rows": rows}


def streaming_markdown(results: dict[str, Any]) -> str:
    """The page docs/streaming.md."""
    first, *_, last = results["rows"]
    rows = [
        [
            f"{row['questions']:,}",
            f"{row['file'] / 1e6:.1f}",
            f"{row['peak'] / 1e6:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['accuracy']:.1%}",
        ]
        for row in results["rows"]
    ]
    growth = (last["peak"] - first["peak"]) / (last["questions"] - first["questions"])
    machine = results["machine"]
    command = f"hopfix eval --strategies {results['strategies']}"
    return f"""# Memory of a long evaluation

`hopfix bench streaming` prints this page (`make streaming` writes it): synthetic questions, made from those of the demo
world, each with a bridge of its own, stream from a file through `{command}`, a process for each count. Questions are
read one by one, predictions written chunk by chunk, and the report is made from the predictions as columns of numbers.
Peak memory is the process's largest resident size, Python, torch and the model among it.

{machine["processor"]}, {machine["cores"]} cores.

{markdown_table(["questions", "file, MB", "peak memory, MB", "seconds", "deployed right"], rows)}

From {first["questions"]:,} to {last["questions"]:,} questions memory grew by {growth:.0f} bytes a question.
"""


def _write(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        for number, question in enumerate(islice(cycle(demo_suite()["test"]), count)):
            fields = {
                "id": f"q{number}",
                "question": question.question,
                "hop1": question.hop1,
                "hop2": question.hop2,
                "direct": question.direct,
                "bridge": f"{question.bridge} ({number})",
                "answer": question.answer,
                "answer_aliases": list(question.answer_aliases),
            }
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _run(path: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "service.cli", "eval", "--questions", str(path), "--strategies", STRATEGIES]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(out), "--json"], stdout=subprocess.DEVNULL)  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise EngineUnavailable(f"hopfix eval ended with {process.returncode}", hint="see what it printed above")
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak": usage.ru_maxrss * unit,
        "seconds": time.perf_counter() - started,
        "accuracy": results["strategies"]["deployed"]["accuracy"],
        "n": results["n"],
    }
