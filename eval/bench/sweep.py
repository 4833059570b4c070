"""`hopfix bench sweep`: the full layer grid, hopfix against the paper's protocol and three libraries.

All sides get the same random-weight model, prompts and cells, one after the other in every round; a ratio is the median
over rounds of the ratio within a round. Beside each stands the counted limit: layer-tokens of the other side over
layer-tokens of hopfix, clean runs included: what the ratio would be if a layer-token cost the same everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from eval.bench.workers import Worker

SOURCE_TOKENS, TAIL = 10, 3  # hop 1's prompt; target tokens from i* on
CLEAR = 1e-3  # a cell whose best two logits are nearer than this is a tie, and left out of the agreement


@dataclass(frozen=True)
class Case:
    """One grid: `layers` source layers into the same number of target layers, for `questions` prompt pairs."""

    layers: int = 12
    width: int = 256
    questions: int = 32
    target_tokens: int = 12
    max_tokens: int = 1
    vocabulary: int = 3221


@dataclass(frozen=True)
class Share:
    """What part of the grid a side is timed on; the seconds of its cells are scaled to the whole. Cells cost the same a
    question, and evenly spread target layers cost the mean of all, so that a part stands for the whole."""

    questions: int
    target_layers: tuple[int, ...]


def make_model(case: Case, folder: Path, seed: int = 0) -> None:
    """A Llama with random weights, large enough to tell cells apart."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=case.layers,
            hidden_size=case.width,
            intermediate_size=4 * case.width,
            num_attention_heads=case.width // 32,
            vocab_size=case.vocabulary,
            max_position_embeddings=512,
        )
    )
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.06)
    model.save_pretrained(folder)


def layer_tokens(case: Case, side: str) -> float:
    """Tokens times blocks that a side runs for one cell of one question, its share of the clean runs included.

    hopfix enters at l* with the tail, then decodes a token a step through all blocks. Every other side prefills the
    whole target prompt for each cell, nnsight with `skip` from l* on; the paper's protocol also runs the source again,
    which all others run once for a question, as hopfix and nnsight with `skip` run the target.
    """
    decoded = (case.max_tokens - 1) * case.layers
    once = SOURCE_TOKENS / case.layers
    whole = once + case.target_tokens / case.layers
    entered = (case.layers + 1) / 2
    if side == "hopfix":
        return whole + entered * TAIL + decoded
    if side == "nnsight_skip" and case.max_tokens == 1:
        return whole + entered * case.target_tokens
    if side == "paper":
        return case.layers * (SOURCE_TOKENS + case.target_tokens) + decoded
    return once + case.layers * case.target_tokens + decoded


def compare(
    case: Case,
    workers: dict[str, Worker],
    folder: Path,
    *,
    rounds: int = 3,
    threads: int = 2,
    shares: dict[str, Share] | None = None,
    on_done: Callable[[int], None] = lambda runs: None,
) -> dict[str, Any]:
    """Seconds, ratios, agreement and memory of every side on one case."""
    dice = random.Random(case.target_tokens)
    job = {
        "model": str(folder),
        "sources": _prompts(dice, case, SOURCE_TOKENS),
        "targets": _prompts(dice, case, case.target_tokens),
        "position": case.target_tokens - TAIL,
        "max_tokens": case.max_tokens,
        "threads": threads,
    }
    whole = Share(case.questions, tuple(range(case.layers)))
    shares = {name: (shares or {}).get(name, whole) for name in workers}
    replies: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    order = list(workers)
    for _ in range(rounds):
        for name in order:
            replies[name].append(workers[name].run(_part(job, shares[name])))
            on_done(1)
        order = [*order[1:], order[0]]  # nobody always follows the same one
    seconds = {name: [_scaled(reply, shares[name], whole) for reply in given] for name, given in replies.items()}
    others = [name for name in workers if name not in ("hopfix", "plain")]
    own = replies["hopfix"][0]
    return {
        **asdict(case),
        "cells": case.layers**2,
        "rounds": rounds,
        "threads": threads,
        "seconds": {name: median(values) for name, values in seconds.items()},
        "speedup": {
            name: median(theirs / ours for theirs, ours in zip(seconds[name], seconds["hopfix"], strict=True))
            for name in others
        },
        "counted_limit": {name: layer_tokens(case, name) / layer_tokens(case, "hopfix") for name in others},
        "agreement": {name: agreement(own, replies[name][0], shares[name]) for name in others},
        "changed": _changed(own, replies["plain"][0]) if "plain" in replies else None,
        "peak_mb": {name: median(reply["peak_mb"] for reply in given) for name, given in replies.items()},
        "timed_on": {
            name: {"questions": share.questions, "target_layers": len(share.target_layers)}
            for name, share in shares.items()
        },
        "versions": {name: worker.versions for name, worker in workers.items()},
    }


def agreement(own: dict[str, Any], other: dict[str, Any], share: Share) -> dict[str, Any]:
    """Cells with the same tokens, as a fraction of those that hopfix found no tie in."""
    layers = list(share.target_layers)
    tokens = own["tokens"][: share.questions][:, :, layers]
    clear = (own["margins"][: share.questions][:, :, layers] > CLEAR).all(-1)
    same = (tokens == other["tokens"]).all(-1)
    return {"same": float(same[clear].mean()), "cells": int(clear.sum()), "ties": int((~clear).sum())}


def _changed(own: dict[str, Any], plain: dict[str, Any]) -> float:
    """The fraction of cells that the patch changes: where it changes none, agreement says nothing."""
    return float((own["tokens"] != plain["tokens"]).any(-1).mean())


def _prompts(dice: random.Random, case: Case, length: int) -> list[list[int]]:
    return [[dice.randrange(5, case.vocabulary) for _ in range(length)] for _ in range(case.questions)]


def _part(job: dict[str, Any], share: Share) -> dict[str, Any]:
    return {
        **job,
        "sources": job["sources"][: share.questions],
        "targets": job["targets"][: share.questions],
        "target_layers": list(share.target_layers),
    }


def _scaled(reply: dict[str, Any], share: Share, whole: Share) -> float:
    """Seconds of the whole grid: what is spent once is spent once, the cells as often as there are of them."""
    questions = whole.questions / share.questions
    layers = len(whole.target_layers) / len(share.target_layers)
    return questions * float(reply["once"] + layers * (reply["seconds"] - reply["once"]))


def spread(layers: int, count: int) -> tuple[int, ...]:
    """An even number of target layers of 0..L-1 in pairs k, L-1-k, so that their mean is that of all."""
    lower = [int((n + 0.5) * layers / count) for n in range(count // 2)]
    return tuple(sorted({*lower, *(layers - 1 - k for k in lower)}))


def growth(base: Case, axis: str, values: Sequence[int]) -> list[Case]:
    """The base case with one size changed."""
    return [Case(**{**asdict(base), axis: value}) for value in values]
