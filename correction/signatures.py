"""Failure signatures: what, by the paper's experience, says that a Patchscope's output should not be believed.

Plain-language warnings, from one batch of control passes: the target left alone, a random state, slightly disturbed
states, and other placeholders. No warning is no proof; a warning names what was tried, so that it can be tried again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from correction.inspector import Inspector, Outcome
from correction.models import LoadedModel
from correction.passes import Pass
from correction.patchscope import Patchscope, find_sites
from correction.scopes.common import TARGET_LAYERS, at
from correction.scopes.readout import distributions, final_states
from correction.scopes.table import Axis, Cell, Table

REPEATED = 4  # the same token so often in a row is degenerate
SEEDS = 3
DISTURBANCE = 0.03  # of a state's length
PLACEHOLDERS = ("x", "y", "?", "it")


async def signatures(inspector: Inspector, patchscope: Patchscope, outcome: Outcome, *, seed: int = 0) -> list[str]:
    """The failure signatures that the outcome shows, as sentences; none if it shows none. About eight passes."""
    states = await inspector.states([graft.source for graft in patchscope.grafts])
    if found := not_finite(patchscope, states, outcome):
        return found
    found = [*outcome.notes, *degenerate(outcome)]
    others = _other_placeholders(inspector, patchscope)
    plain = inspector.pass_of(patchscope, states)
    draw = torch.Generator().manual_seed(seed)
    disturbed = [
        inspector.pass_of(patchscope, [state + DISTURBANCE * _random_like(state, draw) for state in states])
        for _ in range(SEEDS)
    ]
    random = inspector.pass_of(patchscope, [_random_like(state, draw) for state in states])
    swapped = [_with_placeholder(plain, token) for token in others.values()]
    unpatched, by_chance, *rest = await _texts(
        inspector, patchscope.target.model, [replace(plain, patches=()), random, *disturbed, *swapped]
    )
    if unpatched == outcome.text:
        found.append("the patch has no effect: the target prompt left alone says the same")
    elif by_chance == outcome.text:
        found.append("the output is unrelated to the source: a random state of the same length says the same")
    changed = [text for text in rest[:SEEDS] if text != outcome.text]
    if 2 * len(changed) > SEEDS:
        found.append(
            f"the output is not stable: noise of {DISTURBANCE:.0%} of the state's length changes it for {len(changed)} "
            f"of {SEEDS} seeds, to {changed[0]!r} for one"
        )
    differ = [(name, text) for name, text in zip(others, rest[SEEDS:], strict=True) if text != outcome.text]
    if differ:
        name, text = differ[0]
        found.append(
            f"the output depends on the placeholder: {len(differ)} of {len(others)} others change it, {name!r} to "
            f"{text!r}; its own states below the target layer are read too"
        )
    return found


def not_finite(patchscope: Patchscope, states: Sequence[Tensor], outcome: Outcome | None = None) -> list[str]:
    """Names the states, or the model's numbers after the patch, that are infinite or undefined."""
    found = [
        f"the state at layer {graft.source.layer}, position {graft.source.position!r} is not finite: "
        "load the model in float32 or bfloat16"
        for graft, state in zip(patchscope.grafts, states, strict=True)
        if not bool(torch.isfinite(state).all())
    ]
    if outcome is not None and not all(math.isfinite(value) for value in _numbers(outcome)):
        found.append("the patched pass gave numbers that are not finite: load the model in float32 or bfloat16")
    return found


def degenerate(outcome: Outcome) -> list[str]:
    """Whether nothing was said, or one token over and over."""
    if not outcome.text:
        return ["the output is empty: an end of sequence or a line break comes first"]
    longest, token = max((len(list(run)), token) for token, run in groupby(outcome.tokens))
    return [f"the output is degenerate: token {token} comes {longest} times in a row"] * (longest >= REPEATED)


async def contamination(inspector: Inspector, patchscope: Patchscope, target_layers: Sequence[int]) -> Table:
    """How much the answer changes with the placeholder at each l*: the total variation distance of the first token.

    A patch at (l*, i*) leaves the placeholder's keys and values in blocks 1..l* as they are, and every later token
    attends to them: the higher l*, the more the placeholder itself is read beside the state (the paper's section on
    multi-token generation, "placeholder contamination"). 0: it plays no part, as at l* = 0 wherever the mapping
    overwrites the whole state; 1: the answers have nothing in common. Near l* = L the state itself is hardly read.

    Columns are the placeholders that the tokenizer keeps whole, the Patchscope's own left out; a cell's text is the
    likeliest first token with it. For one state into one site.
    """
    loaded = inspector.host(patchscope.target.model).loaded
    layer = patchscope.source.layer
    assert isinstance(layer, int)
    others = _other_placeholders(inspector, patchscope)
    states = await inspector.states([patchscope.source])
    passes: list[Pass] = []
    for target_layer in target_layers:
        own = inspector.pass_of(at(patchscope, layer, target_layer), states)
        passes += [own, *(_with_placeholder(own, token) for token in others.values())]
    last = await final_states(inspector, patchscope.target.model, passes)
    said = torch.cat(list(distributions(loaded.parts, last))).exp().view(len(target_layers), len(others) + 1, -1)
    distances = (said[:, 1:] - said[:, :1]).abs().sum(-1) / 2
    return Table(
        "contamination",
        f"Placeholder contamination in {patchscope.target.prompt!r}: how much another placeholder changes the answer",
        Axis(TARGET_LAYERS, tuple(map(str, target_layers))),
        Axis("placeholder", tuple(others)),
        "total variation distance of the first token's distribution, 0 to 1",
        tuple(
            tuple(Cell(loaded.decode([token]), distance) for token, distance in zip(best, row, strict=True))
            for best, row in zip(said[:, 1:].argmax(-1).tolist(), distances.tolist(), strict=True)
        ),
        (),
        (patchscope,),
    )


def _numbers(outcome: Outcome) -> list[float]:
    return [*outcome.logprobs, *(probability for _, probability in outcome.alternatives)]


def _random_like(state: Tensor, draw: torch.Generator) -> Tensor:
    """A random direction, as long as each state, (tokens, width)."""
    noise = torch.randn(state.shape, generator=draw).to(state)
    length: Tensor = state.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return noise * length


def _other_placeholders(inspector: Inspector, patchscope: Patchscope) -> dict[str, int]:
    """Tokens that could stand at the target's site instead, in the same form (after a space or not).

    None where the source prompt is its own target: its token is no placeholder.
    """
    target = patchscope.target
    loaded = inspector.host(target.model).loaded
    sites = find_sites(loaded, target.prompt, target.layer, target.position)
    if sites.tokens == inspector.sites(patchscope.source).tokens:
        return {}
    own = sites.tokens[sites.positions[0]]
    space = str(loaded.tokenizer.convert_ids_to_tokens(own))[:1]
    return {
        text: token
        for text in PLACEHOLDERS
        if (token := _token(loaded, space if space in ("▁", "Ġ") else "", text)) not in (None, own)
    }


def _token(loaded: LoadedModel, space: str, text: str) -> int | None:
    token = loaded.tokenizer.convert_tokens_to_ids(space + text)
    return token if isinstance(token, int) and token != loaded.tokenizer.unk_token_id else None


def _with_placeholder(request: Pass, token: int) -> Pass:
    """The same patches where another token stands at their positions."""
    prompt = list(request.prompt)
    for patch in request.patches:
        prompt[patch.position] = token
    return replace(request, prompt=tuple(prompt))


async def _texts(inspector: Inspector, model: str | None, passes: Sequence[Pass]) -> list[str]:
    engine = inspector.host(model).engine
    return [result.text for result in await asyncio.gather(*(engine.run(request) for request in passes))]
