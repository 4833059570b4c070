"""What Inspect imports at every start, whatever it runs: importing registers, so it stays light."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="hopfix")
def hopfix() -> type[ModelAPI]:
    """`--model hopfix/NAME`."""
    from eval.harnesses.inspect.provider import HopfixAPI

    return HopfixAPI
