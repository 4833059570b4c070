"""What a model finds of a prompt's own tokens: their log-probabilities, from the last layer's states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput

MOST_LOGITS = 1 << 23  # at a time: a prompt's logits at all of its positions can be larger than the model

Scored = tuple[int, float, list[tuple[int, float]]]  # token, log-probability, likeliest (token, probability)


def score(parts: Blocks, states: Tensor, prompt: Sequence[int], top: int, last: Tensor) -> list[Scored]:
    """Each token but the first, from states of the last layer, (tokens, width).

    last: the log-probabilities that the model itself gives after the prompt, (vocabulary,). Raises `InvalidInput`
    where the parts that we know do not give the same: the model's own head then does more than they say.
    """
    _check(parts, states[-1:], last)
    scored: list[Scored] = []
    rows = max(1, MOST_LOGITS // len(last))
    following = torch.tensor(prompt[1:], device=last.device)
    for some, tokens in zip(torch.split(states[:-1], rows), torch.split(following, rows), strict=True):
        logprobs = _logprobs(parts, some, last)
        best = logprobs.topk(min(top, len(last)))
        likeliest = zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
        own = logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).tolist()
        for token, logprob, (ids, probabilities) in zip(tokens.tolist(), own, likeliest, strict=True):
            scored.append((token, logprob, list(zip(ids, probabilities, strict=True))))
    return scored


def _logprobs(parts: Blocks, states: Tensor, like: Tensor) -> Tensor:
    return parts.predict(states).to(like.device).float().log_softmax(-1)


def _check(parts: Blocks, state: Tensor, last: Tensor) -> None:
    rounding = 1e-3 if state.dtype == torch.float32 else 0.5
    if (_logprobs(parts, state, last)[0] - last).abs().max() > rounding:
        raise InvalidInput(
            "this model's head does more than norm, scale and cap: its prompts cannot be scored",
            hint="leave echo or logprobs out, or add what it does to correction/architecture.py",
            param="prompt_logprobs",
        )
