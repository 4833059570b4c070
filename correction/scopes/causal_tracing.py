"""Causal tracing: which states carry an answer (Meng et al. 2022, section 2).

Row "Causal tracing" of the paper's Table 1: T = S with noise on the subject's embeddings, i* = i, f = identity, M* = M,
l* = l. Noise at the subject makes the model forget the answer; the clean state, restored at one layer and token, brings
back as much of the answer's probability as it carries there: the indirect effect.
"""

from __future__ import annotations

import asyncio

import torch
from torch import Tensor

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.mappings.added import ADDED
from correction.models import LoadedModel
from correction.passes import Pass, Patch
from correction.patchscope import Source, find_sites
from correction.scopes.common import token_labels
from correction.scopes.readout import best_tokens, final_states, logprobs_of
from correction.scopes.request import Request
from correction.scopes.table import Axis, Cell, Table

SAMPLES = 10  # of the noise, as in the paper
Site = tuple[int, int]  # layer, token


async def causal_tracing(inspector: Inspector, request: Request) -> Table:
    """Layers 0..L by the tokens from the subject on; each cell is the gain in the answer's probability.

    position: the subject, a text of the prompt, all tokens of which get noise. The answer is the model's next token.
    """
    loaded = inspector.host(request.model).loaded
    subject = subject_of(loaded, request)
    tokens = find_sites(loaded, request.prompt, 0, -1).tokens
    layers = list(request.layers or range(loaded.parts.depth + 1))
    places = range(subject[0], len(tokens))  # noise changes nothing before the subject
    restored: list[list[Site]] = [[(layer, place)] for layer in layers for place in places]
    token, clean, (corrupted, *probabilities) = await traced(inspector, request, [[], *restored])
    effects = [probability - corrupted for probability in probabilities]
    answer = token_labels(loaded, [token])[0]
    return Table(
        "causal-tracing",
        f"Causal tracing: how much of P({answer!r}) one clean state restores in {request.prompt!r}",
        Axis("restored layer l", tuple(map(str, layers))),
        Axis("restored token", token_labels(loaded, [tokens[place] for place in places])),
        "indirect effect: the answer's probability with the state restored, less that without",
        tuple(
            tuple(Cell(f"{round(effect, 3) + 0.0:+.3f}", effect) for effect in effects[n : n + len(places)])
            for n in range(0, len(effects), len(places))
        ),
        (
            f"P({answer!r}) is {clean:.3f} clean and {corrupted:.3f} with noise on "
            f"{loaded.decode([tokens[place] for place in subject])!r} "
            f"({request.noise:g} standard deviations, mean of {SAMPLES} samples)",
        ),
    )


async def traced(inspector: Inspector, request: Request, restored: list[list[Site]]) -> tuple[int, float, list[float]]:
    """The answer (the model's own next token), its probability in the clean run, and with noise and sites restored.

    Each entry of `restored` is the sites of one run; its probability is the mean over the samples of the noise.
    """
    loaded = inspector.host(request.model).loaded
    subject = subject_of(loaded, request)
    tokens = find_sites(loaded, request.prompt, 0, -1).tokens
    wanted = sorted({site for sites in restored for site in sites} | {(0, place) for place in subject})
    read = Source(
        prompt=tokens,
        layer=tuple(layer for layer, _ in wanted),
        position=tuple(place for _, place in wanted),
        model=request.model,
    )
    states = dict(zip(wanted, (await inspector.states([read]))[0], strict=True))
    spread = torch.stack([states[0, place] for place in subject]).float().std()
    draw = torch.Generator().manual_seed(request.seed)
    passes = [Pass(tokens)]
    noises = [
        request.noise * spread.cpu() * torch.randn(len(subject), loaded.shape.width, generator=draw)
        for _ in range(SAMPLES)
    ]
    for sites in restored:
        clean = tuple(Patch(layer, place, states[layer, place]) for layer, place in sites)
        for noise in noises:
            # A subject token that is restored at layer 0 is one without noise: no site is written twice.
            noisy = tuple(
                Patch(0, place, vector.to(spread.device), ADDED)
                for place, vector in zip(subject, noise, strict=True)
                if (0, place) not in sites
            )
            passes.append(Pass(tokens, patches=noisy + clean))
    last = await final_states(inspector, request.model, passes)
    answer, _ = best_tokens(loaded.parts, last[:1])
    said = (await asyncio.to_thread(logprobs_of, loaded.parts, last, answer.expand(len(last)))).exp()
    means: Tensor = said[1:].view(len(restored), SAMPLES).mean(-1)
    return int(answer), float(said[0]), means.tolist()


def subject_of(loaded: LoadedModel, request: Request) -> list[int]:
    """Every token of the subject's last occurrence; raises `InvalidInput` where the prompt does not have it."""
    place, prompt = request.position, request.prompt
    assert place is not None
    if isinstance(place, int):
        return list(find_sites(loaded, prompt, 0, place).positions)
    start = prompt.rfind(place.strip()) if place.strip() else -1
    if start < 0:
        raise InvalidInput(f"{place!r} does not occur in {prompt!r}", hint="give a part of it", param="position")
    end = start + len(place.strip())
    offsets = loaded.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    # An offset may include the space before a word, which is not yet the subject.
    return [n for n, (first, last) in enumerate(offsets) if first < end and last > start and last > first]
