"""The Patchscopes paper's multi-hop TSV (Ghandeharioun et al. 2024, section 5).

Both kinds of file: hop 1 in `prompt_source` with a blank in `prompt_target` (experiment 1), or the other way round with
the bridge's place at the end of `prompt_source` (the chain-of-thought file).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from correction.questions import BLANK
from eval.datasets.base import Asked, Dataset, each
from eval.datasets.records import Record, table
from eval.questions import GoldQuestion

_ASKS = ("who", "what", "which", "where", "when", "how")


def question(record: Record) -> GoldQuestion:
    """A question; `hop1`, `hop2`, `hop3` of the file are its subject, bridge and answer."""
    source, target = record.text("prompt_source"), record.text("prompt_target")
    first, second = (source, target) if BLANK in target else (target, f"{source} {BLANK}")
    kinds = [record.maybe(name) for name in ("fname_src", "fname_target")]
    return GoldQuestion(
        id=record.text("sample_id"),
        question=_asked(record.text("baseline_multihop3")),
        hop1=first if BLANK in target else f"{first[:1].upper()}{first[1:]} is",
        hop2=_asked(second),
        bridge=record.text("hop2"),
        answer=record.text("hop3"),
        type="+".join(kind for kind in kinds if kind),
    )


def _asked(text: str) -> str:
    """With the question mark that tells the model's prompt a question; the paper writes none."""
    return f"{text}?" if text.lower().startswith(_ASKS) and not text.endswith("?") else text


def read(path: Path) -> Iterator[Asked]:
    """The questions of a file."""
    return each(table(path, "\t"), question)


PATCHSCOPES = Dataset(
    "patchscopes", "Patchscopes multi-hop (Ghandeharioun et al. 2024)", read, "patchscopes", ("*multihop*.tsv",)
)
