"""Strategies: ways from a question to an answer. All share one form of prompt, one stop rule and one engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from correction.answers import Answer
from correction.asking import Asking
from correction.profile import Profile
from correction.questions import Hops, Question
from correction.strategies.back_patched import back_patched
from correction.strategies.deployed import deployed
from correction.strategies.patched import hard_token, mid_layer, patched
from correction.strategies.text import direct, step_by_step, two_step

Whole = Callable[[Asking, Profile, Question], Awaitable[Answer]]
ByHops = Callable[[Asking, Profile, Question, Hops], Awaitable[Answer]]

# Those that need no hops, and those that do.
WHOLE: dict[str, Whole] = {"direct": direct, "step_by_step": step_by_step, "back_patched": back_patched}
BY_HOPS: dict[str, ByHops] = {
    "two_step": two_step,
    "patched": patched,
    "hard_token": hard_token,
    "mid_layer": mid_layer,
    "deployed": deployed,
}
STRATEGIES = ("direct", "two_step", "step_by_step", "patched", "hard_token", "mid_layer", "back_patched", "deployed")

__all__ = ["BY_HOPS", "STRATEGIES", "WHOLE"]
