"""The README as a newcomer follows it, in a new clone and a new environment: each step with the time it took.

Prints docs/first-steps.md. A step that fails ends it with what was printed: nothing is shown as done that was not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
QUESTION = "Who runs the company that makes the Walkman?"
JSON = f'{{"question": "{QUESTION}"}}'
# Commands of the shell, in the clone, with .venv/bin on the path; URL is the service that is running.
FIRST = {
    "make demo: install, ask, evaluate": "make demo",
    "look whether everything is there": "hopfix doctor",
    "ask": f"hopfix answer '{QUESTION}' --direct",
}
SERVED = {
    "ask over HTTP": f"curl -sf $URL/v1/answer -H 'content-type: application/json' -d '{JSON}'",
    "open the page": "curl -sf $URL/",
    "install LangChain": "pip install --quiet --editable '.[langchain]' langchain-openai",
    "ask from LangChain": 'sed "s#http://127.0.0.1:8000#$URL#" examples/ask_langchain.py | python -',
}
OWN = {
    "train a small model, to have a folder": "hopfix train-demo --world generated --seed 1 --size tiny --out mine",
    "calibrate it": "hopfix calibrate --model mine --questions mine/questions/calibration.jsonl --out profile",
    "evaluate it": "hopfix eval --model mine --profile profile --questions mine/questions --out results",
}
PAGE = """# First steps, timed

`make first-steps` follows the [README](../README.md) in a new clone and a new environment, here on {cores} CPU cores.
How long it takes to install depends on the network, and on what pip has kept from before.

| step | seconds |
| --- | ---: |
{rows}

The commands are in `.ci/first_steps.py`.
"""


class Walk:
    """Steps taken in a folder, with their seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[tuple[str, float]] = []

    def follow(self, steps: dict[str, str], url: str = "") -> None:
        for name, command in steps.items():
            started = time.monotonic()
            path = f"{self.folder}/.venv/bin:{os.environ['PATH']}"
            run = ["/usr/bin/env", f"URL={url}", f"PATH={path}", "bash", "-ec", command]
            done = subprocess.run(run, cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
            self._note(name, started)

    @contextmanager
    def serving(self, name: str, *options: str) -> Iterator[str]:
        """The address of a service, once it is ready."""
        started = time.monotonic()
        command = [self.folder / ".venv/bin/hopfix", "serve", "--port", "0", *options]
        with subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                url = ""
                for line in server.stderr:
                    if found := re.search(r"listening on (\S+)", line):
                        url = found[1]
                    if "ready: " in line:
                        break
                else:
                    sys.exit(f"{name}: the service ended")
                self._note(name, started)
                yield url
            finally:
                server.kill()

    def _note(self, name: str, started: float) -> None:
        self.taken.append((name, time.monotonic() - started))
        sys.stderr.write(f"{name}: {self.taken[-1][1]:.1f} s\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder) / "hopfix")
        subprocess.run(["/usr/bin/git", "clone", "--quiet", ROOT, walk.folder], check=True)
        walk.follow(FIRST)
        with walk.serving("serve, until it is ready") as url:
            walk.follow(SERVED, url)
        walk.follow(OWN)
        with walk.serving("serve it, until it is ready", "--model", "mine", "--profile", "profile"):
            pass
    rows = "\n".join(f"| {name} | {seconds:.1f} |" for name, seconds in walk.taken)
    sys.stdout.write(PAGE.format(cores=os.cpu_count(), rows=rows))


if __name__ == "__main__":
    main()
