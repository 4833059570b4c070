"""Back-patching (Hopping Too Late, arXiv 2406.12775): a later layer's state into an earlier layer of the same prompt.

The second half of a question gets another chance to run on what the first pass has worked out by then. No hops are
needed: for a question that cannot be decomposed it is the only patch there is.
"""

from __future__ import annotations

from correction.answers import Answer
from correction.asking import Asking
from correction.passes import Capture, Pass, Patch, Sampling
from correction.profile import Profile
from correction.questions import Hops, Question


async def back_patched(asking: Asking, profile: Profile, question: Question, hops: Hops | None = None) -> Answer:
    """At the last token of the question, between the two layers that calibration chose, without the answer.

    The paper counts a question as right if any pair of layers is: there they are chosen with the answer in hand.
    """
    choice = profile.back_patched
    tokens = asking.prompts.encode(question.wording)
    clean = await asking.run(
        Pass(tokens, (Capture(choice.source_layer),), sampling=Sampling(max_tokens=0, top_logprobs=0)), "source"
    )
    patch = Patch(choice.target_layer, -1, clean.states[0][0], profile.mapping(choice))
    result = await asking.run(Pass(tokens, patches=(patch,), sampling=asking.sampling()), "target")
    return Answer(result.text, "back_patched", corrected=True, patch=choice, confidence=result.probability)
