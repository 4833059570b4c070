"""What is to be done for each prompt: correct the two-hop question that it is, or pass it on to the model as it is.

Nothing runs here. Long prompts take a while to be read, so this belongs into a thread for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from correction.decomposition import split_question
from correction.errors import InvalidInput
from service.openai.names import DIRECT
from service.openai.requests import Asked
from service.schemas import AnswerRequest
from service.settings import Settings

if TYPE_CHECKING:
    from correction.completion import Wanted
    from correction.corrector import Corrector

AS_IT_IS = "the model's name asks for it as it is"
SCORED = "echo and logprobs are of the model as it is"
NOT_TWO_HOPS = "no two hops can be read from the prompt"
SHADOWED = "the service runs in shadow mode"
MOST_LOGPROBS = 1 << 20  # of one response, the alternatives among them: some tens of MB of JSON


@dataclass(frozen=True)
class Source:
    """A prompt. text: what a question may be read from, None if there is none; encode: its token ids for the model."""

    text: Callable[[], str | None]
    encode: Callable[[], tuple[int, ...]]


@dataclass(frozen=True)
class Correction:
    """A two-hop question. choices: the indices of those that have its answer, which is cut as the client asks."""

    prompt: int
    choices: tuple[int, ...]
    question: AnswerRequest
    most: int | None
    stops: tuple[str, ...]


@dataclass(frozen=True)
class Passage:
    """A prompt for the model as it is, and why. shadow: the question that would have been corrected."""

    prompt: int
    choices: tuple[int, ...]
    wanted: Wanted
    reason: str
    shadow: AnswerRequest | None


Job = Correction | Passage


def plan(asked: Asked, sources: list[Source], corrector: Corrector, settings: Settings) -> list[Job]:
    """The jobs of a request, in the order of their choices. Raises `InvalidInput` where too much would be said."""
    most = asked.most_tokens
    if most is not None and most > settings.max_completion_tokens:
        limit = settings.max_completion_tokens
        raise InvalidInput(f"max_tokens is {most}, the limit is {limit}", hint="ask for fewer", param="max_tokens")
    jobs: list[Job] = []
    logprobs = 0
    for prompt, source in enumerate(sources):
        choices = tuple(range(prompt * asked.choices, (prompt + 1) * asked.choices))
        question = None if asked.model.endswith(DIRECT) or _scored(asked) else two_hops(source.text())
        if question is not None and not settings.shadow:
            jobs.append(Correction(prompt, choices, question, most, asked.stops))
            continue
        reason = AS_IT_IS if asked.model.endswith(DIRECT) else SCORED if _scored(asked) else NOT_TWO_HOPS
        tokens = source.encode()
        # A greedy answer is the same each time, and one job gives it to all.
        for part in [choices] if asked.greedy else [(choice,) for choice in choices]:
            wanted = _wanted(asked, tokens, part[0] - choices[0], corrector.engine.context, settings)
            if wanted.logprobs is not None:
                logprobs += len(part) * (wanted.echo * len(tokens) + wanted.max_tokens) * (1 + wanted.logprobs)
            if logprobs > MOST_LOGPROBS:
                raise InvalidInput(
                    f"the response may have more than {MOST_LOGPROBS:,} log-probabilities",
                    hint="send fewer prompts at once, or ask for fewer tokens or alternatives",
                    param="logprobs",
                )
            shadow = question if part[0] == choices[0] else None  # one question, however many answers are drawn
            jobs.append(Passage(prompt, part, wanted, SHADOWED if question else reason, shadow))
    return jobs


def two_hops(text: str | None) -> AnswerRequest | None:
    """The question that a prompt is, if it is one line from which two hops can be read."""
    text = (text or "").strip()
    hops = None if len(text.splitlines()) != 1 else split_question(text)
    if hops is None:
        return None
    return AnswerRequest(question=text, hop1=hops.hop1, hop2=hops.hop2, hop3=hops.hop3, hop4=hops.hop4)


def _scored(asked: Asked) -> bool:
    return asked.echoes or asked.alternatives is not None


def _wanted(asked: Asked, tokens: tuple[int, ...], number: int, context: int, settings: Settings) -> Wanted:
    from correction.completion import Wanted

    most = asked.most_tokens
    if most is None:  # what fits, one token at least: a prompt without room for it is refused by its name
        usual = min(asked.usual_tokens or settings.max_completion_tokens, settings.max_completion_tokens)
        most = max(min(usual, context - len(tokens)), 1)
    return Wanted(
        prompt=tokens,
        max_tokens=most,
        stop=asked.stops,
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=None if asked.seed is None else (asked.seed + number + 2**63) % 2**64 - 2**63,
        logprobs=asked.alternatives,
        echo=asked.echoes,
    )
