"""What an experiment works with: models with their engines, a world whose facts are asked, and a few ways to ask.

States are read and prompts patched in whole batches; which sites, mappings and models is the experiment's business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from correction.corrector import Corrector
from correction.forward import states as all_states
from correction.grid import GridPass
from correction.inspector import Host, Inspector
from correction.mappings import IDENTITY, Mapping
from correction.mappings.pairs import places
from correction.passes import Capture, Pass, Sampling
from correction.patchscope import Patchscope, Source, Target, find_sites
from correction.prompts import Prompts, as_prompt, without_full_stop
from eval.demo_world.corpus import capitalised, chain_clozes, fact_sentence
from eval.demo_world.relations import Relation
from eval.demo_world.world import Fact, World
from eval.scoring import exact_match

MAX_TOKENS = 8
BATCH = 64  # texts whose states are read at once
Site = tuple[str, int | str]  # a text as it stands before the model, and a token of it


@dataclass(frozen=True, eq=False)
class Lab:
    """hosts by name, None being the model in question, which reports call `label`; its corrector; its world; how many
    cases a condition has."""

    inspector: Inspector
    world: World
    count: int
    corrector: Corrector
    label: str
    say: Callable[[str], None] = lambda stage: None
    seed: int = 0

    def host(self, name: str | None = None) -> Host:
        """A model with its engine."""
        return self.inspector.host(name)

    def depth(self, name: str | None = None) -> int:
        """L of a model."""
        return self.host(name).loaded.parts.depth

    def rng(self, what: str) -> random.Random:
        """Random numbers for a purpose, the same in every run."""
        return random.Random(f"{what} {self.seed}")

    async def states(self, sites: Sequence[Site], layers: Sequence[int], name: str | None = None) -> Tensor:
        """The state of each site at each layer, (sites, layers, width)."""
        host = self.host(name)
        found = [find_sites(host.loaded, text, 0, place) for text, place in sites]
        read = Sampling(max_tokens=0, top_logprobs=0)
        passes = [
            Pass(f.tokens, tuple(Capture(layer, f.positions[0]) for layer in layers), sampling=read) for f in found
        ]
        results = await asyncio.gather(*(host.engine.run(request) for request in passes))
        return torch.stack([torch.stack([state[0] for state in result.states]) for result in results])

    async def grid(
        self,
        targets: Sequence[Site],
        states: Tensor,
        target_layers: Sequence[int],
        mapping: Mapping = IDENTITY,
        *,
        giver: str | None = None,
        taker: str | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> list[list[list[str]]]:
        """What the taker says with each state written into its target, [site][state][target layer]; states are
        (sites, states, width) of the giver."""
        host = self.host(taker)
        found = [find_sites(host.loaded, text, 0, place) for text, place in targets]
        request = GridPass(
            [f.tokens for f in found],
            [f.positions[0] for f in found],
            states,
            list(target_layers),
            mapping,
            None if giver == taker else self.host(giver).loaded.parts,
            max_tokens,
        )
        grid = await host.engine.grid(request)
        return [[[self._text(host, cell) for cell in row] for row in rows] for rows in grid.tokens.tolist()]

    async def span(
        self, source: str, name: str, target: str, layers: Sequence[int], target_layers: Sequence[int]
    ) -> list[str]:
        """What is said with the states of every token of a name, at each layer of `layers`, written over as many
        placeholders of a text with `{}`, at the layer of `target_layers` in the same place."""
        loaded = self.host().loaded
        last = find_sites(loaded, source, 0, name).positions[0]
        first = last + 1 - len(loaded.tokenizer.tokenize(f" {name}"))
        blank = self.corrector.prompts.encode_blank(target, last + 1 - first)
        scopes = [
            Patchscope(
                source=Source(prompt=source, layer=layer, position=tuple(range(first, last + 1))),
                target=Target(prompt=blank.tokens, layer=at, position=blank.sites),
                max_tokens=MAX_TOKENS,
            )
            for layer, at in zip(layers, target_layers, strict=True)
        ]
        return [without_full_stop(outcome.text.strip()) for outcome in await self.inspector.run(scopes)]

    async def says(self, texts: Sequence[str], name: str | None = None) -> list[str]:
        """What a model says by itself after each text."""
        host = self.host(name)
        encoded = [find_sites(host.loaded, text, 0, -1).tokens for text in texts]
        sampling = Sampling(MAX_TOKENS, 0)
        results = await asyncio.gather(*(host.engine.run(Pass(tokens, sampling=sampling)) for tokens in encoded))
        return [without_full_stop(result.text.strip()) for result in results]

    def pairs(self, giver: str | None, taker: str | None, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The states of two models at the same places of texts, at all layers: (rows, L + 1, width) of either."""
        one, other = self.host(giver).loaded, self.host(taker).loaded
        given: list[Tensor] = []
        taken: list[Tensor] = []
        for start in range(0, len(texts), BATCH):
            found = [p for text in texts[start : start + BATCH] if (p := places(one, other, text)).source_positions]
            for loaded, prompts, positions, kept in (
                (one, [p.source for p in found], [p.source_positions for p in found], given),
                (other, [p.target for p in found], [p.target_positions for p in found], taken),
            ):
                layers = range(loaded.parts.depth + 1)
                read = all_states(loaded.model, loaded.parts, prompts, layers, pad=loaded.pad_token)
                kept += [of[:, list(at)].transpose(0, 1) for of, at in zip(read, positions, strict=True)]
        return torch.cat(given), torch.cat(taken)

    def blank(self, text: str, name: str | None = None, placeholder: str | None = None) -> Site:
        """A text with one placeholder for its `{}`, and where that is; raises `InvalidInput` where it is no token."""
        loaded = self.host(name).loaded
        prompts = Prompts(loaded.tokenizer, placeholder=placeholder or self.corrector.used.placeholder)
        blank = prompts.encode_blank(text)
        held = as_prompt(text.strip().replace("{}", prompts.placeholder))
        assert find_sites(loaded, held, 0, blank.sites[0]).tokens == blank.tokens
        return held, blank.sites[0]

    def facts(self, relation: str) -> list[Fact]:
        """A relation's facts in an order of chance."""
        told = list(self.world.facts[relation].values())
        return self.rng(relation).sample(told, len(told))

    def sentences(self, count: int, what: str) -> list[str]:
        """Wordings of facts with their answers, as running text."""
        rng = self.rng(what)
        told = list(self.world)
        drawn = [fact_sentence(fact, self.world, rng) for fact in rng.choices(told, k=count)]
        return [f"{prompt} {answer}" for prompt, answer in drawn]

    @staticmethod
    def _text(host: Host, cell: Sequence[int]) -> str:
        return without_full_stop(host.loaded.decode([token for token in cell if token >= 0]).strip())


def right(text: str, fact: Fact) -> bool:
    """Whether a text is the fact's object."""
    return exact_match(text, (fact.object, *fact.aliases))


def statement(relation: Relation) -> str:
    """A statement about `{}` that stops before its object, and reads well with a noun phrase for its subject."""
    return capitalised(chain_clozes(relation)[0])


def cut(text: str, share: float) -> str:
    """The first words of a text: at least one, and not the last."""
    words = text.split(" ")
    return " ".join(words[: 1 + int(share * (len(words) - 1))])


def best_of(cells: dict[tuple[int, int], float]) -> tuple[int, int]:
    """The pair (l, l*) with the highest share; of equals the earliest layers."""
    return max(cells, key=lambda pair: (cells[pair], -pair[0], -pair[1]))


def mean(values: Sequence[float | bool]) -> float:
    """The mean, 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
