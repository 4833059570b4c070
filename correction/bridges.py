"""Bridges and how sure a hop is of them: one where it is sure, else the likeliest few with their probabilities.

A greedy wrong bridge must not doom the answer. Where hop 1 is unsure, the bridges that could be meant are weighed:
P(answer) = sum over bridges b of P(b) P(answer | b). The same step, repeated, walks a chain of hops.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

from correction.asking import Asking, Prompt, Reading
from correction.passes import Pass
from correction.selection import normal


@dataclass(frozen=True, eq=False)
class Candidate:
    """A bridge that may be meant, with the probability of it and of all bridges before it in the chain."""

    reading: Reading
    probability: float


async def likeliest(asking: Asking, prompt: Prompt, reading: Reading, count: int) -> list[Reading]:
    """The greedy bridge and those that leave it at one token and go on greedily: `count` of them, no two alike.

    A beam search that branches once, from log-probabilities that every engine returns.
    """
    stop = asking.loaded.stop_tokens
    branches: list[tuple[float, tuple[int, ...]]] = []
    for position, step in enumerate(reading.steps):
        kept = reading.tokens[position] if position < len(reading.tokens) else None
        before = math.exp(sum(reading.logprobs[:position]))
        for other in step:
            stops = other.token in stop or asking.ended((*reading.tokens[:position], other.token))
            if other.token == kept or (stops and (kept is None or position == 0)):
                continue
            branch = reading.tokens[:position] if stops else (*reading.tokens[:position], other.token)
            branches.append((before * other.probability, branch))
    chosen = nlargest(count - 1, branches)
    others = await asyncio.gather(*(_follow(asking, prompt, reading, *branch) for branch in chosen))
    found: dict[str, Reading] = {}
    for one in (reading, *others):
        if one.finished and one.tokens and one.text:
            known = found.get(one.text)
            if known is None or one.probability > known.probability:
                found[one.text] = one
    return list(found.values())


async def _follow(asking: Asking, prompt: Prompt, reading: Reading, share: float, branch: tuple[int, ...]) -> Reading:
    if branch == reading.tokens[: len(branch)]:  # it stops where the greedy one goes on
        return Reading(asking.text(branch), branch, share, True)
    room = asking.max_tokens - len(branch)
    request = Pass((*prompt.tokens, *branch), patches=prompt.patches, sampling=asking.sampling(1, room))
    result = await asking.run(request, "bridges", begun=branch)
    tokens = (*branch, *result.tokens)
    return Reading(asking.text(tokens), tokens, share * result.probability, result.finish_reason == "stop")


def merged(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The `count` likeliest, equal names together: a bridge that two earlier ones lead to has both probabilities."""
    total: dict[str, float] = {}
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        name = normal(candidate.reading.text)
        total[name] = total.get(name, 0.0) + candidate.probability
        if name not in best or candidate.probability > best[name].probability:
            best[name] = candidate
    ranked = sorted(best, key=lambda name: -total[name])[:count]
    return [Candidate(best[name].reading, total[name]) for name in ranked]
