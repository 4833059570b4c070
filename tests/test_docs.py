"""README and docs say what the repository does: figures as printed, snippets that run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from correction.models import LoadedModel

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def first_table(text: str) -> str:
    found = re.search(r"^\| strategy \|.*?(?=\n\n)", text, re.S | re.M)
    assert found
    return found.group()


def test_the_readmes_table_is_the_printed_one() -> None:
    assert first_table(README) == first_table(RESULTS)


def test_the_printed_results_are_of_the_bundled_weights(demo: LoadedModel) -> None:
    assert demo.fingerprint[:19] in RESULTS


def test_the_python_snippet_runs() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Kenichiro Yoshida via Sony\n"), done.stderr
