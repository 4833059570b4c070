"""The predictions of one set as columns of numbers: so few a question that 100,000 fit (docs/streaming.md)."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

SHOWN = 25  # examples kept of what was fixed, and of what was broken

Marks = npt.NDArray[np.bool_]
Layers = tuple[list[int], list[int]]  # sources, targets


@dataclass
class Column:
    """What a strategy reached: right and f1, each [questions]."""

    right: Marks
    f1: npt.NDArray[np.float32]


@dataclass
class _Filling:
    right: array[int] = field(default_factory=lambda: array("b"))
    f1: array[float] = field(default_factory=lambda: array("f"))


class Columns:
    """A set's predictions, added one by one in their order; then `column`, `clusters` and the rest can be asked for."""

    def __init__(self) -> None:
        self._strategies: dict[str, _Filling] = {}
        self._clusters = array("q")
        self._known, self._short = array("b"), array("b")
        self._tokens = array("i")  # of the bridge; 0 where it is not known
        self._confidence = array("d")
        self._types = array("i")
        self.types: dict[str, int] = {}
        self.bridges: set[int] = set()
        self.fallbacks: Counter[str] = Counter()
        self.cells: npt.NDArray[np.int64] | None = None
        self.layers: Layers = ([], [])  # of the cells
        self.gridded = 0
        self.examples: dict[str, list[dict[str, Any]]] = {"fixed": [], "broken": []}

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes up one prediction."""
        for name, said in record["strategies"].items():
            filling = self._strategies.setdefault(name, _Filling())
            filling.right.append(said["right"])
            filling.f1.append(said["f1"])
        cluster = code(record["bridge"] or record["id"])
        self._clusters.append(cluster)
        if record["bridge"]:
            self.bridges.add(cluster)
        self._known.append(bool(record.get("known")))
        self._short.append(bool(record.get("shortcut")))
        self._tokens.append(record.get("bridge_tokens") or 0)
        self._types.append(self.types.setdefault(record["type"], len(self.types)))
        self._deployed(record)
        if cells := record.get("cells"):
            marks = np.frombuffer(cells.encode(), dtype=np.uint8) - ord("0")
            self.cells = marks.astype(np.int64) if self.cells is None else self.cells + marks
            self.layers = layers_of(record)
            self.gridded += 1

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> Columns:
        """The columns of one set's predictions."""
        columns = cls()
        for record in records:
            columns.add(record)
        return columns

    def __len__(self) -> int:
        return len(self._clusters)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that were asked."""
        return tuple(self._strategies)

    def column(self, strategy: str) -> Column:
        """What a strategy reached on every question."""
        filling = self._strategies[strategy]
        return Column(np.array(filling.right, dtype=bool), np.array(filling.f1, dtype=np.float32))

    @property
    def clusters(self) -> npt.NDArray[np.int64]:
        """What the bootstrap resamples, a number a question: its bridge, or itself where it has none."""
        return np.array(self._clusters, dtype=np.int64)

    @property
    def known(self) -> Marks:
        """Whether both hops are answered right on their own."""
        return np.array(self._known, dtype=bool)

    @property
    def short(self) -> Marks:
        """Whether a shortcut answers."""
        return np.array(self._short, dtype=bool)

    @property
    def tokens(self) -> npt.NDArray[np.int32]:
        """How many tokens the bridge has; 0 where that is not known."""
        return np.array(self._tokens, dtype=np.int32)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """How sure deployed was; 0 for a failed question."""
        return np.array(self._confidence, dtype=float)

    def of_type(self, name: str) -> Marks:
        """Which questions are of this type."""
        return np.array(self._types, dtype=np.int32) == self.types[name]

    def _deployed(self, record: Mapping[str, Any]) -> None:
        evidence = record.get("deployed")
        if evidence is None:
            self._confidence.append(0.0)
            return
        self._confidence.append(evidence.get("confidence") or 0.0)
        if "error" in evidence:
            self.fallbacks["failed"] += 1
        elif fallback := evidence.get("fallback"):
            self.fallbacks[fallback["strategy"]] += 1
        direct, ours = (record["strategies"][name]["right"] for name in ("direct", "deployed"))
        kept = self.examples["fixed" if ours else "broken"]
        if direct != ours and len(kept) < SHOWN:
            kept.append(dict(record))


def layers_of(record: Mapping[str, Any]) -> Layers:
    """The source and the target layers of a prediction's cells; one that does not say them has cells for all layers."""
    if "layers" in record:
        sources, targets = record["layers"]
        return sources, targets
    depth = round(len(record["cells"]) ** 0.5)
    return [*range(1, depth + 1)], [*range(depth)]


def code(name: str) -> int:
    """A number for a name, the same in every run."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
