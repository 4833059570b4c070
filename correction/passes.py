"""One pass of a model: a prompt, what to read from it, what to overwrite in it, and how far to generate.

This is all that an engine is asked, and it is plain data: an engine knows nothing of questions, hops or profiles.
Layers are counted from what goes in: k = 0 is what block 1 receives, k = L what the last block gives. Positions are
token indices of the prompt and may be negative; -1 is its last token.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput, PromptTooLong
from correction.mappings import IDENTITY, TOKEN, Mapping


@dataclass(frozen=True)
class ModelShape:
    """L blocks, the width of a hidden state, and the number of token ids."""

    depth: int
    width: int
    vocabulary: int


@dataclass(frozen=True)
class Capture:
    """Read the hidden state at (layer, position).

    With `follow`, also the states at the positions of the tokens generated after the prompt, in order, as far as they
    were fed back (the last generated token is not).
    """

    layer: int
    position: int = -1
    follow: bool = False


@dataclass(frozen=True, eq=False)
class Patch:
    """Overwrite the hidden state at (layer, position) with `mapping(state)`; `state` has shape (source width,).

    The mapping `TOKEN` takes a token's id instead, int64 of shape (1,).
    `origin` holds the parts of the model that the state comes from; None is the model that it is written into.
    """

    layer: int
    position: int
    state: Tensor
    mapping: Mapping = IDENTITY
    origin: Blocks | None = None


@dataclass(frozen=True)
class Sampling:
    """Generation of at most `max_tokens`, greedy unless the temperature is above 0; stops at the end of sequence.

    `top_logprobs` alternatives come with each step, the one that stops included: what a gold-free selection reads.
    lines: a token that breaks the line stops it, too, which is every strategy's rule. phrase: only the name is wanted
    that the text begins with: an engine may end when that is over (`correction.forms.phrase_is_over`), or later.
    temperature, top_p, seed: as in OpenAI's API; the same seed gives the same tokens on the same engine.
    prompt_logprobs: the prompt's own tokens are read as well, with so many alternatives at each; None if not.
    Log-probabilities are always the model's own, before temperature and top_p.
    """

    max_tokens: int = 16
    top_logprobs: int = 5
    lines: bool = True
    phrase: bool = False
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    prompt_logprobs: int | None = None


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass with generation. `prompt` is token ids.

    With `exit` the blocks beyond that layer are left out in every step, and the head reads its states: early exit.
    With `lens` the head also reads the last position's state at that layer: how likely it finds the first token.
    """

    prompt: tuple[int, ...]
    captures: tuple[Capture, ...] = ()
    patches: tuple[Patch, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    exit: int | None = None
    lens: int | None = None

    @property
    def plain(self) -> bool:
        """Whether any engine can run it: nothing to read, nothing to overwrite, nothing to leave out."""
        return not self.captures and not self.patches and self.exit is None and self.lens is None


@dataclass(frozen=True)
class Alternative:
    """A token that could have come at a step, as text, with its probability."""

    token: int
    text: str
    probability: float


@dataclass(frozen=True)
class Step:
    """A token that was generated, with its log-probability and the likeliest ones at its place, best first."""

    token: int
    logprob: float
    top: tuple[Alternative, ...]


Heard = Callable[[Step], None]  # called in the event loop for each generated token, in order, as it comes


@dataclass(frozen=True, eq=False)
class PassResult:
    """What a pass gave.

    tokens: generated ids without the stop token. logprobs: natural logarithms, one for each generated token.
    stop_logprob: of the token that ended it, None if the length did. steps: the likeliest tokens at each step, best
    first, that at which it stopped included. states: one (positions, width) tensor for each capture. patched: how many
    patches were applied; an engine raises `PatchNotApplied` rather than return fewer than asked. engine: the name of
    the engine that ran it, which an engine of engines passes on: an answer states it. lens: the probability that the
    state at the pass's `lens` gives the first token, None if that was not asked or nothing was generated.
    prompt: each token of the prompt but the first, which nothing predicts, where its log-probabilities were asked for.
    """

    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    stop_logprob: float | None
    steps: tuple[tuple[Alternative, ...], ...]
    states: tuple[Tensor, ...]
    patched: int
    prompt_tokens: int
    finish_reason: str
    engine: str
    lens: float | None = None
    prompt: tuple[Step, ...] = ()

    @property
    def probability(self) -> float:
        """Of the tokens and of stopping after them."""
        return math.exp(sum(self.logprobs) + (self.stop_logprob or 0.0))

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """The likeliest first tokens, best first."""
        return self.steps[0] if self.steps else ()


@dataclass(frozen=True, eq=False)
class Relay:
    """A second pass that takes up what a first one has generated: the states that predict each of its tokens.

    blanks: for 1, 2, ... tokens the prompt and the positions of its placeholders, over which the states of the first
    pass's first capture are written at `layer`, through `mapping`. least: the probability below which, as with too many
    tokens, none, or an unfinished text, there is no second pass. Plain data, so that an engine can run both at one go.
    """

    blanks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    layer: int
    mapping: Mapping
    sampling: Sampling
    exit: int | None = None
    least: float = 0.0

    def second(self, first: PassResult) -> Pass:
        """The second pass after one that it takes up."""
        length = len(first.tokens)
        prompt, sites = self.blanks[length - 1]
        states = first.states[0][:length]
        patches = (Patch(self.layer, at, state, self.mapping) for at, state in zip(sites, states, strict=True))
        return Pass(prompt, patches=tuple(patches), sampling=self.sampling, exit=self.exit)


def check_pass(request: Pass, shape: ModelShape, context: int) -> None:
    """Raises `InvalidInput` for a pass that a model of this shape cannot run within `context` tokens."""
    depth = shape.depth
    length = len(request.prompt)
    if length == 0:
        raise InvalidInput("the prompt is empty", hint="give at least one token", param="prompt")
    _check_sampling(request.sampling)
    if length + request.sampling.max_tokens > context:
        raise PromptTooLong(
            f"the prompt has {length} tokens and {request.sampling.max_tokens} may be generated, "
            f"but the model's context is {context}",
            hint="shorten the prompt or lower max_tokens",
            param="prompt",
        )
    if not all(0 <= token < shape.vocabulary for token in request.prompt):
        raise InvalidInput(
            "the prompt has a token that the model does not know",
            hint=f"ids go to {shape.vocabulary - 1}",
            param="prompt",
        )
    for patch in request.patches:
        check_width(patch, shape)
    sites = [(c.layer, c.position) for c in request.captures] + [(p.layer, p.position) for p in request.patches]
    sites += [] if request.lens is None else [(request.lens, -1)]
    for layer, position in sites:
        if not 0 <= layer <= depth:
            raise InvalidInput(
                f"layer {layer} is out of range", hint=f"the model has layers 0 to {depth}", param="layer"
            )
        if not -length <= position < length:
            raise InvalidInput(
                f"position {position} is out of range",
                hint=f"the prompt has {length} tokens: {-length} to {length - 1}",
                param="position",
            )
    if request.exit is not None:
        _check_exit(request.exit, [layer for layer, _ in sites], depth)
    for capture in request.captures:
        if capture.follow and capture.position not in (-1, length - 1):
            raise InvalidInput("only the last position can be followed", hint="use position -1", param="position")


def _check_sampling(sampling: Sampling) -> None:
    for name, right, hint in (
        ("max_tokens", sampling.max_tokens >= 0, "give 0 or more"),
        ("top_logprobs", sampling.top_logprobs >= 0, "give 0 or more"),
        ("prompt_logprobs", (sampling.prompt_logprobs or 0) >= 0, "give 0 or more"),
        ("temperature", 0 <= sampling.temperature < math.inf, "give 0 for the likeliest tokens, or more"),
        ("top_p", 0 < sampling.top_p <= 1, "give a number above 0 and at most 1"),
        ("seed", -(2**63) <= (sampling.seed or 0) < 2**63, "give a whole number of 64 bits"),
    ):
        if not right:
            raise InvalidInput(f"{name} is {getattr(sampling, name)}", hint=hint, param=name)


def _check_exit(layer: int, sites: list[int], depth: int) -> None:
    if not 1 <= layer <= depth:
        raise InvalidInput(f"cannot exit at layer {layer}", hint=f"choose one of 1 to {depth}", param="exit")
    if any(site > layer for site in sites):
        raise InvalidInput(
            f"layer {max(sites)} is not reached when the pass exits at layer {layer}",
            hint="exit later, or read and patch earlier",
            param="exit",
        )


def _check_token(state: Tensor, shape: ModelShape) -> None:
    if state.shape != (1,) or state.dtype != torch.long or not 0 <= int(state) < shape.vocabulary:
        raise InvalidInput(
            "the mapping 'token' takes the id of a token of the model",
            hint=f"give one from 0 to {shape.vocabulary - 1}",
            param="state",
        )


def check_width(patch: Patch, shape: ModelShape) -> None:
    """Raises `InvalidInput` unless the patch's mapping takes its state to the width of the model's states."""
    given = tuple(patch.state.shape)
    if patch.mapping is TOKEN:
        _check_token(patch.state, shape)
        return
    source, target = patch.mapping.widths or (shape.width, shape.width)
    if patch.mapping.widths is None and patch.mapping.embeds and patch.origin is not None:
        source = next(patch.origin.embedding.parameters()).shape[1]
    if given != (source,):
        raise InvalidInput(
            f"a state of shape {given} does not fit the mapping {patch.mapping.name!r}",
            hint=f"it takes states of width {source}"
            + ("" if patch.mapping.widths else ": fit a mapping between models of different widths with 'hopfix fit'"),
            param="state",
        )
    if target != shape.width:
        raise InvalidInput(
            f"the mapping {patch.mapping.name!r} gives states of width {target}",
            hint=f"the model's states have the width {shape.width}: fit a mapping for this pair of models",
            param="mapping",
        )
