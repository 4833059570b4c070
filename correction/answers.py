"""An answer with its evidence: what the shell prints and HTTP returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from correction.confidence import Signs
from correction.passes import PassResult
from correction.profile import Choice
from correction.selection import Judged


@dataclass(frozen=True)
class Bridge:
    """Hop 1's answer, the probability of its tokens and of ending there, and the likeliest first tokens with theirs.

    alternatives: `{"text", "probability"}` each, best first; where several bridges were weighed, these bridges.
    """

    text: str
    probability: float
    alternatives: tuple[dict[str, float | str], ...] = ()


@dataclass(frozen=True)
class HopResult:
    """A hop as it was asked (`{}` for the bridge) and what came out."""

    prompt: str
    text: str


@dataclass(frozen=True)
class Fallback:
    """Why the answer is not from a patched pass, which engine gave it (by its name), and by which strategy."""

    reason: str
    engine: str
    strategy: str


@dataclass
class Usage:
    """Tokens and passes over everything an answer took. layer_tokens: blocks run times tokens, what was computed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    passes: int = 0
    layer_tokens: int = 0

    def add(self, result: PassResult, depth: int) -> None:
        """Counts a pass that ran `depth` blocks."""
        self.prompt_tokens += result.prompt_tokens
        self.completion_tokens += len(result.tokens)
        self.passes += 1
        # What stopped it, or filled its length, is the last token and is not fed back.
        fed = len(result.tokens) if result.finish_reason == "stop" else max(0, len(result.tokens) - 1)
        self.layer_tokens += depth * (result.prompt_tokens + fed)


@dataclass(frozen=True)
class Answer:
    """An answer, and what was done for it. `corrected`: the text came from a patched pass.

    strategy: the one that gave the text. direct_answer: the plain answer, where it was asked for. bridge: of a chain
    the last one; where several were weighed, the one behind the answer, with all of them as its alternatives. hops: as
    they were asked, each with what came out. patch: the layers and mapping that were used, None if nothing was patched.
    profile: its name. confidence: the probability that the answer is right, calibrated where the profile says how.
    fallback: None unless something else than what was asked for gave the answer. timings_ms: milliseconds by stage
    (`decompose`, `hop1`, `hop2`, `direct`, ...) and `total`. signs: what the confidence was calculated from.
    candidates: every answer that the patched passes gave, the likeliest first, as they were before the plain one was
    known.
    """

    answer: str
    strategy: str
    corrected: bool = False
    id: str | None = None
    direct_answer: str | None = None
    bridge: Bridge | None = None
    hops: tuple[HopResult, ...] = ()
    patch: Choice | None = None
    profile: str | None = None
    confidence: float | None = None
    fallback: Fallback | None = None
    usage: Usage = field(default_factory=Usage)
    timings_ms: dict[str, float] = field(default_factory=dict)
    signs: Signs | None = None
    candidates: tuple[Judged, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; without `signs` and `candidates`, what the confidence was calculated from."""
        return {name: value for name, value in asdict(self).items() if name not in ("signs", "candidates")}
