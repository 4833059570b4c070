"""Passes of the same length: what is patched, or leaves early, says other things and would stop elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from correction.engines import HFEngine, VLLMEngine
from correction.models import LoadedModel


class Unstopped(LoadedModel):
    """A model that nothing stops but the length."""

    @classmethod
    def of(cls, loaded: LoadedModel) -> Unstopped:
        return cls(loaded.name, loaded.folder, loaded.model, loaded.tokenizer, loaded.parts)

    @property
    def stop_tokens(self) -> frozenset[int]:  # type: ignore[override]
        return frozenset()

    @property
    def pad_token(self) -> int:
        return 0  # any valid id


@contextmanager
def unstopped(engine: HFEngine | VLLMEngine) -> Iterator[None]:
    """While entered, what the engine begins is not stopped."""
    before = engine.loaded
    engine.loaded = Unstopped.of(before)
    try:
        yield
    finally:
        engine.loaded = before
