"""Strategies that are one layer pair and one mapping: hop 1's states, mapped and written over hop 2's placeholders."""

from __future__ import annotations

from correction.answers import Answer, HopResult
from correction.asking import Asking
from correction.profile import Choice, Profile
from correction.questions import Hops, Question


async def patched(asking: Asking, profile: Profile, question: Question, hops: Hops) -> Answer:
    """The paper's method made deployable: identity mapping, one state over one placeholder, one pair of layers.

    Patchscopes, section 5 (multi-hop reasoning). Of a longer bridge the first token alone is patched, as there.
    """
    return await by_choice(asking, profile, hops, profile.patched, "patched", span=False)


async def hard_token(asking: Asking, profile: Profile, question: Question, hops: Hops) -> Answer:
    """The likeliest tokens' embeddings at layer 0: what a mapping must beat to be more than text."""
    choice = Choice(asking.loaded.parts.depth, 0, "hard_token")
    return await by_choice(asking, profile, hops, choice, "hard_token", span=True)


async def mid_layer(asking: Asking, profile: Profile, question: Question, hops: Hops) -> Answer:
    """The best choice with l* >= 1 and no reading of the vocabulary: a hidden state repaired by a hidden state."""
    return await by_choice(asking, profile, hops, profile.mid_layer, "mid_layer", span=True)


async def by_choice(
    asking: Asking, profile: Profile, hops: Hops, choice: Choice, strategy: str, *, span: bool
) -> Answer:
    """With `span` a placeholder and state for each token of a bridge, else one: a single state predicts one token."""
    mapping = profile.mapping(choice)
    reading = await asking.read(asking.prompt(hops.hop1, "hop1"), "hop1", choice.source_layer)
    probability, said = reading.probability, [HopResult(hops.hop1, reading.text)]
    for number, hop in enumerate(hops.chain[1:], start=2):
        assert reading.states is not None
        # No bridge at all still has the state that predicts one.
        states = reading.states[: max(1, len(reading.tokens)) if span else 1]
        blank = asking.prompts.encode_blank(hop, len(states), "hop2" if mapping.embeds else "target")
        prompt = asking.patched(blank, states, choice.target_layer, mapping)
        if number < len(hops.chain):
            reading = await asking.read(prompt, f"hop{number}", choice.source_layer)
            probability *= reading.probability
            said.append(HopResult(hop, reading.text))
    result = await asking.generate(prompt, f"hop{len(hops.chain)}")
    return Answer(
        result.text,
        strategy,
        corrected=True,
        bridge=reading.bridge,
        hops=(*said, HopResult(hops.chain[-1], result.text)),
        patch=choice,
        confidence=probability * result.probability,
    )
