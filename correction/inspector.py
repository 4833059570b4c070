"""Runs Patchscopes: sources are read once each, targets run as the engines' batches.

Knows models by the names that Patchscopes give them; what a Patchscope is for is the caller's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from correction.engines.base import Engine
from correction.errors import InvalidInput
from correction.grid import Grid, GridPass
from correction.mappings import FittedMapping, Mapping, check_fitted_for, mapping_named, parts_of
from correction.models import LoadedModel
from correction.passes import Capture, Pass, PassResult, Patch, Sampling
from correction.patchscope import Graft, Patchscope, Sites, Source, find_sites

NOT_FINITE = "a source state is not finite: load the model in float32 or bfloat16"


@dataclass(frozen=True, eq=False)
class Host:
    """A model with the engine that runs it."""

    loaded: LoadedModel
    engine: Engine


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a target pass said.

    tokens: the generated ids, logprobs: their natural logarithms. alternatives: the likeliest first tokens with their
    probabilities, best first. notes: where a fitted mapping was used at other layers than those it was fitted for.
    """

    patchscope: Patchscope
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    alternatives: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tokens": list(self.tokens),
            "logprobs": list(self.logprobs),
            "alternatives": [{"text": text, "probability": p} for text, p in self.alternatives],
            "patchscope": self.patchscope.to_json(),
            "notes": list(self.notes),
        }


class Inspector:
    """Patchscopes between models. `hosts` maps names to models; None is the one that is meant where none is named."""

    def __init__(self, hosts: Dict[str | None, Host]) -> None:
        self.hosts = hosts

    @classmethod
    def of(cls, loaded: LoadedModel, engine: Engine) -> Inspector:
        """For one model."""
        return cls({None: Host(loaded, engine)})

    def host(self, name: str | None) -> Host:
        """Raises `InvalidInput` for a model that has not been loaded."""
        try:
            return self.hosts[name]
        except KeyError:
            known = ", ".join(repr(n) for n in self.hosts if n is not None) or "none by name"
            raise InvalidInput(f"the model {name!r} is not loaded", hint=f"loaded: {known}", param="model") from None

    def sites(self, point: Source) -> Sites:
        """Where a source is in its model's pass; raises `InvalidInput` as `find_sites` does."""
        return find_sites(self.host(point.model).loaded, point.prompt, point.layer, point.position)

    async def states(self, sources: Sequence[Source]) -> list[Tensor]:
        """The states of each source's span, (tokens, width). A prompt that several sources share runs once."""
        found = [self.sites(source) for source in sources]
        wanted: dict[tuple[str | None, tuple[int, ...]], dict[Capture, int]] = {}
        for source, sites in zip(sources, found, strict=True):
            captures = wanted.setdefault((source.model, sites.tokens), {})
            for site in zip(sites.layers, sites.positions, strict=True):
                captures.setdefault(Capture(*site), len(captures))
        read = Sampling(max_tokens=0, top_logprobs=0)
        results = await asyncio.gather(
            *(self.host(m).engine.run(Pass(tokens, tuple(c), sampling=read)) for (m, tokens), c in wanted.items())
        )
        given = {key: result.states for key, result in zip(wanted, results, strict=True)}
        return [
            torch.stack(
                [
                    given[source.model, sites.tokens][wanted[source.model, sites.tokens][Capture(*site)]][0]
                    for site in zip(sites.layers, sites.positions, strict=True)
                ]
            )
            for source, sites in zip(sources, found, strict=True)
        ]

    async def run(self, patchscopes: Sequence[Patchscope], *, top: int = 5) -> list[Outcome]:
        """Runs them all, batched. `top` is how many alternatives come with the first token.

        A source state that is not finite is not written: its outcome is empty and says so in `notes`.

        Raises `InvalidInput` for sites outside a model, spans that differ in length, mappings that do not fit.
        """
        grafts = [graft for scope in patchscopes for graft in scope.grafts]
        states = iter(await self.states([graft.source for graft in grafts]))
        given = [[next(states) for _ in scope.grafts] for scope in patchscopes]
        passes = [self.pass_of(scope, spans, top) for scope, spans in zip(patchscopes, given, strict=True)]

        async def outcome(scope: Patchscope, spans: list[Tensor], request: Pass) -> Outcome:
            if not all(bool(torch.isfinite(span).all()) for span in spans):
                return Outcome(scope, "", (), (), (), (NOT_FINITE,))
            return self._outcome(scope, await self.host(scope.target.model).engine.run(request))

        return list(await asyncio.gather(*map(outcome, patchscopes, given, passes)))

    async def grid(
        self, patchscope: Patchscope, source_layers: Sequence[int], target_layers: Sequence[int]
    ) -> tuple[Grid, list[list[str]]]:
        """The Patchscope at every pair of layers, and the text of each cell, `texts[source layer][target layer]`.

        For a single state into a single site; the layers that the Patchscope itself names are not used. Raises
        `InvalidInput` for spans and several states, and as `run` does.
        """
        source, target = patchscope.source, patchscope.target
        if patchscope.also or isinstance(source.position, tuple) or isinstance(target.position, tuple):
            raise InvalidInput("a layer grid takes one state to one site", hint="give single positions")
        host = self.host(target.model)
        sites = find_sites(host.loaded, target.prompt, 0, target.position)
        states = await self.states([source.model_copy(update={"layer": layer}) for layer in source_layers])
        request = GridPass(
            [sites.tokens],
            [sites.positions[0]],
            torch.cat(states).unsqueeze(0),
            list(target_layers),
            self.mapping(patchscope.mapping, source.model, target.model),
            self._origin(source.model, target.model),
            patchscope.max_tokens,
        )
        grid = await host.engine.grid(request)
        texts = [[_text(host.loaded, cell) for cell in row] for row in grid.tokens[0].tolist()]
        return grid, texts

    def mapping(self, name: str, source: str | None, target: str | None) -> Mapping:
        """The mapping of that name from states of one model to states of another.

        Raises `InvalidInput` if it is not for them, `InvalidMapping` if its file is damaged or for other models.
        """
        found = mapping_named(name)
        giver, taker = self.host(source).loaded, self.host(target).loaded
        if found.embeds and giver.tokenizer.get_vocab() != taker.tokenizer.get_vocab():
            raise InvalidInput(
                f"the mapping {name!r} needs models with one vocabulary",
                hint="fit a mapping between their states with 'hopfix fit'",
                param="mapping",
            )
        if _fitted(found):
            check_fitted_for(found, giver.fingerprint, taker.fingerprint, 0, 0)
        return found

    def notes(self, graft: Graft, target: str | None) -> tuple[str, ...]:
        """Where a graft uses a fitted mapping at other layers than those it was fitted for."""
        found = mapping_named(graft.mapping)
        if not _fitted(found):
            return ()
        giver, taker = self.host(graft.source.model).loaded, self.host(target).loaded
        pairs = {(k, to) for k in _each(graft.source.layer) for to in _each(graft.layer)}
        said = (check_fitted_for(found, giver.fingerprint, taker.fingerprint, *pair) for pair in sorted(pairs))
        return tuple(dict.fromkeys(note for notes in said for note in notes))

    def pass_of(self, scope: Patchscope, states: Sequence[Tensor], top: int = 0) -> Pass:
        """The target pass, with the states of each graft's span, (tokens, width)."""
        target = scope.target
        loaded = self.host(target.model).loaded
        patches: list[Patch] = []
        tokens: tuple[int, ...] = ()
        for graft, span in zip(scope.grafts, states, strict=True):
            sites = find_sites(loaded, target.prompt, graft.layer, graft.position)
            tokens = sites.tokens
            patches += self._patches(graft, span, sites, target.model)
        return Pass(tokens, patches=tuple(patches), sampling=Sampling(scope.max_tokens, top))

    def _patches(self, graft: Graft, states: Tensor, sites: Sites, target: str | None) -> list[Patch]:
        if len(states) != len(sites.positions):
            raise InvalidInput(
                f"a span of {len(states)} source tokens does not fit one of {len(sites.positions)} target tokens",
                hint="give as many target positions as source positions",
                param="position",
            )
        mapping = self.mapping(graft.mapping, graft.source.model, target)
        origin = self._origin(graft.source.model, target)
        return [
            Patch(layer, position, state, mapping, origin)
            for layer, position, state in zip(sites.layers, sites.positions, states, strict=True)
        ]

    def _outcome(self, scope: Patchscope, result: PassResult) -> Outcome:
        alternatives = tuple((a.text, a.probability) for a in result.alternatives)
        notes = tuple(note for graft in scope.grafts for note in self.notes(graft, scope.target.model))
        return Outcome(scope, result.text, result.tokens, result.logprobs, alternatives, notes)

    def _origin(self, source: str | None, target: str | None) -> Any:
        return None if source == target else self.host(source).loaded.parts


def _fitted(mapping: Mapping) -> bool:
    return any(isinstance(part, FittedMapping) for part in parts_of(mapping))


def _each(layer: int | tuple[int, ...]) -> tuple[int, ...]:
    return layer if isinstance(layer, tuple) else (layer,)


def _text(loaded: LoadedModel, tokens: list[int]) -> str:
    return loaded.decode([token for token in tokens if token >= 0])
