"""The names that requests may give as their model: NAME corrects, NAME:direct is the model as it is."""

from __future__ import annotations

from service.errors import NotFound
from service.settings import Settings

DIRECT = ":direct"


def names(settings: Settings) -> tuple[str, str]:
    """NAME, NAME:direct."""
    return settings.model_name, settings.model_name + DIRECT


def check_served(model: str, settings: Settings) -> None:
    """Raises `NotFound` for a name that is not served."""
    served = names(settings)
    if model not in served:
        raise NotFound(f"no such model: {model!r}", hint=f"choose {' or '.join(served)}", param="model")
