"""Models, patches, mappings, engines, profiles and the corrector. Knows nothing of datasets, gold answers or HTTP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from correction.answers import Answer
    from correction.corrector import Corrector
    from correction.loading import open_corrector
    from correction.profile import Choice, Profile
    from correction.questions import Hops, Question

_HOMES = {
    "Answer": "answers",
    "Choice": "profile",
    "Corrector": "corrector",
    "Hops": "questions",
    "Profile": "profile",
    "Question": "questions",
    "open_corrector": "loading",
}
__all__ = ["Answer", "Choice", "Corrector", "Hops", "Profile", "Question", "open_corrector"]


def __getattr__(name: str) -> Any:
    # Imported when first used: the command reads correction.errors, and must not pay for torch.
    if name in _HOMES:
        return getattr(import_module(f"correction.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'correction' has no attribute {name!r}")
