"""The ready-made Patchscopes by name: methods of the literature, a file each, a few lines on the framework.

Listing them imports no model code; the command's help does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from correction.errors import InvalidInput
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table

if TYPE_CHECKING:
    from correction.inspector import Inspector

__all__ = ["SCOPES", "Axis", "Cell", "Request", "Scope", "Table", "scope_named"]

ALWAYS = frozenset({"prompts", "model"})


@dataclass(frozen=True)
class Scope:
    """A method: `await scope(inspector, request)` is its `Table`.

    needs, takes: fields of `Request`, by name, that it cannot do without, and that change what it does.
    """

    name: str
    summary: str
    needs: str = ""
    takes: str = ""

    @property
    def fields(self) -> frozenset[str]:
        """Every field of the request that means something to it."""
        return ALWAYS | set(self.needs.split()) | set(self.takes.split())

    def check(self, request: Request) -> None:
        """Raises `InvalidInput` for a request that lacks what it needs or has what it would not use."""
        given = request.model_fields_set
        if missing := [name for name in self.needs.split() if name not in given]:
            needed = " and ".join(missing)
            raise InvalidInput(f"{self.name} needs {needed}", hint=f"give {needed} too", param=missing[0])
        if unused := sorted(given - self.fields):
            idle = " and ".join(unused)
            raise InvalidInput(f"{self.name} makes no use of {idle}", hint="leave that out", param=unused[0])

    async def __call__(self, inspector: Inspector, request: Request) -> Table:
        """Raises `InvalidInput` as `check` does, and for sites, mappings and models that do not fit."""
        self.check(request)
        module = self.name.replace("-", "_")
        function = getattr(import_module(f"correction.scopes.{module}"), module)
        table = await function(inspector, request)
        assert isinstance(table, Table)
        return table


_GRID = "position placeholder mapping layers target_layers max_tokens"
SCOPES: dict[str, Scope] = {
    scope.name: scope
    for scope in (
        Scope("logit-lens", "What each layer would say next, through the head.", takes="position layers"),
        Scope("tuned-lens", "The same, through a fitted mapping for each layer.", "mapping", "position layers"),
        Scope(
            "token-identity", "The token a state stands for, by a prompt that repeats tokens.", takes=f"target {_GRID}"
        ),
        Scope(
            "next-token",
            "How well estimators tell the model's own next token from each layer.",
            takes="position target placeholder mapping layers",
        ),
        Scope(
            "linear-probe", "Whether a label can be read linearly from each layer.", "labels", "position layers seed"
        ),
        Scope("attribute-extraction", "An attribute of a subject, asked of its state.", "target", _GRID),
        Scope("entity-description", "What the model takes an entity for, layer by layer.", takes=f"target {_GRID}"),
        Scope("causal-tracing", "Which states carry an answer.", "position", "layers noise seed"),
        Scope(
            "back-patching",
            "Later states into earlier layers of the same prompt.",
            takes=_GRID.replace("placeholder ", ""),
        ),
        Scope("cross-model", "A model's states, read by another model.", "target_model", f"target {_GRID}"),
        Scope("multi-hop", "Hop 1's state in hop 2's prompt, over all pairs of layers.", "target", _GRID),
        Scope("patchscope", "Any Patchscope.", "target layers target_layers", f"target_model target_position {_GRID}"),
    )
}


def scope_named(name: str) -> Scope:
    """The method of that name; raises `InvalidInput` naming those there are."""
    try:
        return SCOPES[name]
    except KeyError:
        raise InvalidInput(
            f"no Patchscope {name!r}", hint=f"choose one of {', '.join(SCOPES)}", param="scope"
        ) from None
