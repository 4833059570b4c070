"""Strategies without a patch: what a user would do, and what every other strategy falls back to."""

from __future__ import annotations

from correction.answers import Answer, HopResult
from correction.asking import Asking, Prompt, Reading
from correction.confidence import Signs
from correction.forms import Wording
from correction.passes import Pass, Sampling
from correction.profile import Profile
from correction.questions import BLANK, Hops, Question


async def direct(asking: Asking, profile: Profile, question: Question, hops: Hops | None = None) -> Answer:
    """The model's plain answer to the question."""
    result = await asking.generate(asking.prompt(question.worded(hops), "direct"), "direct")
    signs = Signs("direct" if hops is None else "kept", result.probability)
    return Answer(
        result.text, "direct", direct_answer=result.text, confidence=profile.confidence.of(signs), signs=signs
    )


async def step_by_step(asking: Asking, profile: Profile, question: Question, hops: Hops | None = None) -> Answer:
    """One call with "Let's think step by step"; the answer is what stands after the last "is"."""
    prompt = asking.prompts.encode_step_by_step(question.text or question.direct_text)
    request = Pass(prompt, sampling=Sampling(4 * asking.max_tokens, 0))
    result = await asking.run(request, "step_by_step", whole=True)
    text = result.text.rsplit(" is ", 1)[-1].strip(" .")
    return Answer(text, "step_by_step", confidence=result.probability)


async def two_step(asking: Asking, profile: Profile, question: Question, hops: Hops) -> Answer:
    """The text pipeline: each hop's answer is written into the next."""
    return await text_from(asking, profile, hops, await asking.read(asking.prompt(hops.hop1, "hop1"), "hop1"))


async def text_from(asking: Asking, profile: Profile, hops: Hops, first: Reading) -> Answer:
    """The text pipeline from a bridge that hop 1 gave already."""
    said = [HopResult(hops.hop1, first.text)]
    bridge, probability = first, first.probability
    for number, hop in enumerate(hops.chain[1:-1], start=2):
        bridge = await asking.read(_naming(asking, hop, bridge.text), f"hop{number}")
        probability *= bridge.probability
        said.append(HopResult(hop, bridge.text))
    last = hops.chain[-1]
    result = await asking.generate(_naming(asking, last, bridge.text), f"hop{len(hops.chain)}")
    signs = Signs("two_step", result.probability, probability, first.first)
    return Answer(
        result.text,
        "two_step",
        bridge=bridge.bridge,
        hops=(*said, HopResult(last, result.text)),
        confidence=profile.confidence.of(signs),
        signs=signs,
    )


def _naming(asking: Asking, hop: str, bridge: str) -> Prompt:
    return asking.prompt(Wording.of(hop).naming(BLANK, bridge), "hop2")
