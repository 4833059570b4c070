"""A suite: the question sets that one model is judged on, by name; a folder of question files, or the demo world's.

test: the two-hop questions of the tables. keep: candidates for the keep set, of which those count that direct answers
right. uncertain: candidates for the uncertain-bridge set, of which those count whose likeliest bridge has p < 0.8.
unknown: a hop is not known to the model. one_hop: nothing to correct. chains: three and four hops. All
but test may be missing.
"""

from __future__ import annotations

from pathlib import Path

from correction.errors import InvalidInput
from eval.questions import GoldQuestion, load_questions

Suite = dict[str, list[GoldQuestion]]
SETS = ("test", "keep", "uncertain", "unknown", "one_hop", "chains")
MIX = ("test", "unknown", "one_hop", "keep")  # equal parts of these make the set that confidence is judged on
ANSWERABLE = ("test", "one_hop", "keep")


def load_suite(path: Path, limit: int | None = None) -> Suite:
    """A question file as a suite of its own, or every set of a folder. Raises `InvalidInput` for a folder without."""
    if not path.is_dir():
        return {"test": load_questions(path, limit)}
    found = {name: path / f"{name}.jsonl" for name in SETS if (path / f"{name}.jsonl").exists()}
    if "test" not in found:
        raise InvalidInput(f"no test.jsonl in {path}", hint="give a question file, or a folder with test.jsonl")
    return {name: load_questions(file, limit, one_hop=name == "one_hop") for name, file in found.items()}
