"""What a profile deploys: hop 1 left as early as calibration allows, its states patched into hop 2, or text.

Sure of its bridge, it patches the states that predict it. Unsure, it weighs the likeliest bridges
(`correction.bridges`). Where the calibrated confidence of what comes out is low, the plain answer is asked for too, and
stays unless another is clearly surer (`correction.selection`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from correction.answers import Answer, Bridge, Fallback, HopResult
from correction.asking import Asking, Prompt, Reading
from correction.bridges import Candidate, likeliest, merged
from correction.confidence import Route, Signs
from correction.forms import Kind
from correction.passes import PassResult, Relay
from correction.profile import Choice, Profile, Thresholds
from correction.questions import Hops, Question
from correction.selection import Judged, compared, normal
from correction.strategies.text import direct, text_from


async def deployed(asking: Asking, profile: Profile, question: Question, hops: Hops) -> Answer:
    """Hop 1's states, through the profile's mapping, into hop 2; or the likeliest bridges weighed; or text.

    The profile's thresholds decide (`Thresholds`). Raises nothing of its own: what cannot be patched falls back to
    text, with the reason in `fallback`.
    """
    deploying = _Deploying(asking, profile, hops)
    if profile.strategy == "direct":
        plain = await direct(asking, profile, question, hops)
        return replace(plain, fallback=Fallback(profile.why_text, asking.engine_name, "direct"))
    if profile.strategy == "two_step":
        first = await asking.read(asking.prompt(hops.hop1, "hop1"), "hop1")
        return await deploying.text(question, first, profile.why_text)
    bridges: list[Candidate] = []
    for number, hop in enumerate(hops.chain[:-1], start=1):
        reading, bridges = await deploying.bridges(hop, bridges, f"hop{number}")
        if number == 1:
            first = reading
        if not bridges or (len(bridges) == 1 and deploying.too_long(bridges[0].reading)):
            answers = [await deploying.text(question, first, deploying.why_not(reading))]
            break
    else:
        answers = await deploying.answers(bridges)
    answered = answers[0]
    assert answered.confidence is not None
    if answered.strategy == "direct" or (answered.answer and answered.confidence >= profile.thresholds.select):
        return answered
    return settled(answers, await direct(asking, profile, question, hops), profile, asking.engine_name)


def settled(answers: Sequence[Answer], plain: Answer, profile: Profile, engine: str) -> Answer:
    """One of the corrected answers or the plain one, by the profile's confidence in each (`correction.selection`)."""
    assert plain.signs is not None
    candidates = answers[0].candidates
    found = compared(candidates, Judged(plain.answer, plain.signs), profile.confidence)
    if found.rival is not None and found.overrules(profile.thresholds.margin):
        return replace(answers[found.rival], confidence=found.surest, direct_answer=plain.answer)
    if found.kept is not None:
        return replace(answers[found.kept], confidence=found.plain, direct_answer=plain.answer)
    reason = f"the plain answer is the more confident one ({found.plain:.2f} against {found.surest:.2f})"
    if found.rival is None:
        reason = "hop 2 gave no answer"
    return replace(
        plain,
        confidence=max(0.0, found.plain),
        bridge=answers[0].bridge,
        hops=answers[0].hops,
        candidates=candidates,
        fallback=Fallback(reason, engine, "direct"),
    )


class _Deploying:
    def __init__(self, asking: Asking, profile: Profile, hops: Hops) -> None:
        self.asking = asking
        self.profile = profile
        self.hops = hops
        self.depth = asking.loaded.parts.depth
        self.mapping = profile.mapping(profile.choice)
        self.said: list[HopResult] = []
        self.first: Reading | None = None  # of hop 1
        self.fits = True  # whether the states that predict a bridge could be written as they are
        self.relayed: PassResult | None = None  # the last hop, where the engine has run it in one go with hop 1

    async def bridges(self, hop: str, before: list[Candidate], stage: str) -> tuple[Reading, list[Candidate]]:
        """The hop's likeliest reading, and the bridges it may mean: one if it is sure, none if it gives none."""
        prompts = [self.filled(hop, candidate, len(before)) for candidate in before] or [
            self.asking.prompt(hop, "hop1")
        ]
        readings = await asyncio.gather(*(self._read(prompt, stage) for prompt in prompts))
        weights = [candidate.probability for candidate in before] or [1.0]
        found = await asyncio.gather(*(self._meant(p, r) for p, r in zip(prompts, readings, strict=True)))
        candidates = [
            Candidate(reading, weight * reading.probability)
            for weight, meant in zip(weights, found, strict=True)
            for reading in meant
        ]
        self.said.append(HopResult(hop, readings[0].text))
        self.first = self.first or readings[0]
        return readings[0], merged(candidates, self.profile.thresholds.bridges)

    async def _read(self, prompt: Prompt, stage: str) -> Reading:
        """Left at the profile's layer where its states can be read as tokens; run in full where that is not sure."""
        layer = self.profile.choice.source_layer
        if not self.mapping.embeds:
            return await self.asking.read(prompt, stage, layer)
        if stage == "hop1" and len(self.hops.chain) == 2 and self.asking.relays:
            then = self._then(self.hops.hop2, self.profile.thresholds)
            reading, self.relayed = await self.asking.relay(prompt, stage, layer, layer, then, "hop2")
            if self.relayed is not None:  # the engine has found it sure enough
                return reading
        else:
            reading = await self.asking.read(prompt, stage, layer, exit=layer)
        if layer < self.depth and (reading.probability < self.profile.thresholds.exit or not reading.finished):
            reading = await self.asking.read(prompt, f"{stage}_full", self.depth)
        return reading

    def _then(self, hop: str, thresholds: Thresholds) -> Relay:
        """Hop 2 as it follows a bridge that is sure enough: what `bridges` and `filled` come to in that case."""
        layer = self.profile.choice.source_layer
        return Relay(
            self.asking.blanks(hop, thresholds.bridge_tokens),
            self.profile.choice.target_layer,
            self.mapping,
            self.asking.sampling(),
            self.asking.early(self.profile.answer_layer),
            thresholds.exit if layer < self.depth else thresholds.sure,
        )

    async def _meant(self, prompt: Prompt, reading: Reading) -> list[Reading]:
        unsure = reading.exit is None and reading.probability < self.profile.thresholds.sure
        if unsure and self.relayed is None:
            return await likeliest(self.asking, prompt, reading, self.profile.thresholds.bridges)
        return [reading] if reading.finished and reading.text else []

    def filled(self, hop: str, candidate: Candidate, among: int) -> Prompt:
        """The hop with a bridge in its place: by its states if it stands alone and they fit, else spelled out.

        States that predict a name's tokens without the space before it do not fit where there is one ("ofThe").
        """
        reading = candidate.reading
        if among == 1 and reading.states is not None:
            kind: Kind = "hop2" if self.mapping.embeds else "target"
            blank = self.asking.prompts.encode_blank(hop, len(reading.tokens), kind)
            spaced = self.asking.prompts.spaced(reading.tokens[0])
            if not self.mapping.embeds or all(space == spaced for space in blank.spaced):
                states = reading.states[: len(reading.tokens)]
                return self.asking.patched(blank, states, self.choice(reading).target_layer, self.mapping)
            self.fits = False
        return self.asking.spelled(hop, reading.text)

    def choice(self, reading: Reading) -> Choice:
        """What was patched: from the layer that hop 1 was left at, else from where its states were read."""
        if not self.mapping.embeds:
            return self.profile.choice
        return replace(self.profile.choice, source_layer=reading.exit or self.depth)

    async def answers(self, bridges: list[Candidate]) -> list[Answer]:
        """What the bridges lead to, equal answers together: the one with the most probability over all comes first."""
        last = self.hops.chain[-1]
        prompts = [self.filled(last, candidate, len(bridges)) for candidate in bridges]
        stage = f"hop{len(self.hops.chain)}"
        results = await asyncio.gather(*(self._answer(prompt, stage) for prompt in prompts))
        named: dict[str, list[tuple[Candidate, PassResult]]] = defaultdict(list)
        for candidate, result in zip(bridges, results, strict=True):
            named[normal(result.text)].append((candidate, result))
        alone = len(bridges) == 1
        answers = sorted((self._named(behind, bridges, alone) for behind in named.values()), key=_mass, reverse=True)
        judged = tuple(Judged(answer.answer, answer.signs) for answer in answers if answer.signs)
        return [replace(answer, candidates=judged) for answer in answers]

    def _named(self, behind: list[tuple[Candidate, PassResult]], bridges: list[Candidate], alone: bool) -> Answer:
        """An answer from the bridges behind it."""
        meant, result = max(behind, key=lambda pair: pair[0].probability * pair[1].probability)
        mass = sum(candidate.probability * said.probability for candidate, said in behind)
        share = sum(candidate.probability for candidate, _ in behind)
        alone = alone and meant.reading.states is not None
        route: Route = "marginal" if not alone else "full" if meant.reading.exit is None else "exit"
        signs = Signs(
            route,
            mass / share if share else 0.0,
            share,
            self.first.first if self.first else None,
            self.first.early if self.first else None,
        )
        text, last, said = result.text, self.hops.chain[-1], self.said
        bridge = meant.reading.bridge
        if not alone:
            others: tuple[dict[str, float | str], ...] = tuple(
                {"text": c.reading.text, "probability": c.probability} for c in bridges
            )
            bridge = Bridge(meant.reading.text, meant.probability, others)
            said = [*said[:-1], replace(said[-1], text=meant.reading.text)]
        return Answer(
            text,
            "deployed",
            corrected=True,
            bridge=bridge,
            hops=(*said, HopResult(last, text)),
            patch=self.choice(meant.reading) if alone and self.fits else Choice(self.depth, 0, "hard_token"),
            confidence=self.profile.confidence.of(signs),
            signs=signs,
        )

    async def _answer(self, prompt: Prompt, stage: str) -> PassResult:
        """The last hop, left early too where the profile says so."""
        layer = self.profile.answer_layer
        result = self.relayed or await self.asking.generate(prompt, stage, layer)
        if layer is None or (result.probability >= self.profile.thresholds.answer and result.finish_reason == "stop"):
            return result
        return await self.asking.generate(prompt, f"{stage}_full")

    def too_long(self, reading: Reading) -> bool:
        return len(reading.tokens) > self.profile.thresholds.bridge_tokens

    def why_not(self, reading: Reading) -> str:
        """Why nothing is patched."""
        if not reading.text:
            return f"hop {len(self.said)} gave no bridge"
        if not reading.finished:
            return f"hop {len(self.said)} did not end within {self.asking.max_tokens} tokens"
        most = self.profile.thresholds.bridge_tokens
        return f"the bridge has {len(reading.tokens)} tokens, calibrated were at most {most}"

    async def text(self, question: Question, first: Reading, reason: str) -> Answer:
        """Text instead of a patch: two_step where hop 1 gave something, else direct."""
        if first.text:
            answered = await text_from(self.asking, self.profile, self.hops, first)
            assert answered.signs is not None
            answered = replace(answered, candidates=(Judged(answered.answer, answered.signs),))
        else:
            answered = await direct(self.asking, self.profile, question, self.hops)
            answered = replace(answered, bridge=first.bridge)
        return replace(answered, fallback=Fallback(reason, self.asking.engine_name, answered.strategy))


def _mass(answer: Answer) -> float:
    return answer.signs.product if answer.signs else 0.0
