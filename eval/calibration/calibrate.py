"""From a model and questions to a profile: every step is noted in a journal, so that a killed run goes on where it was.

It sees no test question. Cross-validation over bridges says what a choice made this way is worth on bridges that it was
not made on; the profile's figures are those, the choice itself is made on all questions. The forms of prompts are
chosen first, once, on a part of the questions from all bridges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, astuple, replace
from functools import partial
from typing import Any

from correction.answers import Answer
from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.form_probe import ASKED, KEPT, Chain, choose_forms
from correction.forms import EXAMPLES, FORMS, Forms, Wording
from correction.mappings import FittedMapping
from correction.profile import FITTED, Choice, Profile, Replay, Thresholds
from correction.questions import BLANK, Question
from correction.selection import normal
from eval.calibration import mid_layer, sites
from eval.calibration.choosing import FEWEST_FOR_EXITS, Ways, share
from eval.calibration.deciding import decide
from eval.calibration.observations import Said, answering, exiting, from_json, said, to_json, weighing
from eval.calibration.overlap import bridge_hashes
from eval.calibration.readable import readable_layers
from eval.calibration.verdict import advised
from eval.journal import Journal
from eval.questions import GoldQuestion
from eval.scoring import exact_match
from eval.statistics import mcnemar
from eval.sweep import EVERY_LAYER

MIN_QUESTIONS = 50
MIN_KNOWN = 20
REPLAYED = 20
FORMED = 150  # questions that the forms are chosen on
SWEPT = 300  # about how many questions the layer grids are run on: they choose no threshold
SWEPT_DEEP = 40  # of a model whose every layer is too many
WEIGHED = (3, 5)
MAPPINGS = ("vocabulary", "hard_token")
SIGNIFICANT = 0.05


async def calibrate(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    journal: Journal,
    on_step: Callable[[str], object] = lambda name: None,
) -> Profile:
    """A profile for the corrector's model. One-hop questions (no hops) only teach the confidence. Each step of
    `most_steps` is named to `on_step` when it begins.

    Raises `InvalidInput` for fewer than 50 two-hop questions, or fewer than 20 of which the model knows both hops.
    """
    hops = [q for q in questions if q.hop1]
    single = [q for q in questions if not q.hop1]
    if len(hops) < MIN_QUESTIONS:
        raise InvalidInput(
            f"{len(hops)} questions are too few to choose from",
            hint=f"give at least {MIN_QUESTIONS} with hops",
            param="questions",
        )

    corrector, forms = await _formed(corrector, hops, journal, on_step)

    async def ways(name: str, given: Corrector, strategy: str, asked: Sequence[GoldQuestion] = hops) -> list[Said]:
        async def compute() -> list[dict[str, Any]]:
            return to_json(await said(given, asked, strategy))

        on_step(name)
        return from_json(await journal.step(name, compute))

    depth = corrector.loaded.parts.depth
    direct = await ways("direct", corrector, "direct")
    two_step = await ways("two_step", corrector, "two_step")
    alone = await ways("one hop", corrector, "direct", single) if single else []
    if (known := sum(one.right for one in two_step)) < MIN_KNOWN:
        raise InvalidInput(
            f"the model answers only {known} of the {len(hops)} questions in two steps",
            hint=f"calibration needs at least {MIN_KNOWN} whose hops it knows: give other questions, or a better model",
            param="questions",
        )
    early = len(hops) >= FEWEST_FOR_EXITS
    leave = await _readable(
        journal, "hop 1", early, corrector, [corrector.prompts.encode(q.hop1, "hop1") for q in hops]
    )
    exits = {
        (layer, mapping): await ways(
            f"{mapping} from layer {layer}", exiting(corrector, Choice(layer, 0, mapping)), "deployed"
        )
        for mapping in MAPPINGS
        for layer in leave
    }
    weighed = {
        count: await ways(f"{count} bridges weighed", weighing(corrector, count), "deployed") for count in WEIGHED
    }
    last = [corrector.prompts.encode(Wording.of(q.hop2).naming(BLANK, q.bridge), "hop2") for q in hops]
    answers = {
        (layer, mapping): await ways(
            f"{mapping}, answer from layer {layer}", answering(corrector, mapping, layer), "deployed"
        )
        for mapping in MAPPINGS
        for layer in await _readable(journal, "hop 2", early, corrector, last)
        if layer < depth
    }
    reading = [_reading(corrector, q, one) for q, one in zip(hops, two_step, strict=True)]
    observed = Ways(depth, exits, weighed, answers, reading, two_step)
    decided = decide(observed, hops, direct, two_step, alone)
    setting = decided.setting

    swept = SWEPT if depth <= EVERY_LAYER else SWEPT_DEEP
    spread = slice(None, None, -(-len(hops) // swept))
    few = hops[spread]
    names = sites.suitable(corrector, few)
    grids = {
        name: await _cells(
            journal,
            f"identity grid, placeholder {name}",
            partial(sites.identity_cells, sites.holding(corrector, name), few),
            on_step,
        )
        for name in names
    }
    placeholder = max(grids, key=lambda name: (sum(grids[name][sites.best(grids[name])]), -names.index(name)))
    holding = sites.holding(corrector, placeholder)
    matched = await _cells(
        journal, "norm-matched grid", partial(sites.identity_cells, holding, few, "norm_matched"), on_step
    )
    middle, fitted, repairs = await _middle(holding, few, (grids[placeholder], matched), journal, on_step)
    back = await _cells(journal, "back-patching", partial(sites.back_cells, corrector, few), on_step)
    patched, back_patched = sites.best(grids[placeholder]), sites.best(back)
    evidence = decided.evidence | {
        "forms": forms,
        "bridge_hashes": bridge_hashes(hops),
        "identity_grid": sites.accuracies(grids[placeholder]),
        "placeholders": {name: share(cells[sites.best(cells)]) for name, cells in grids.items()},
        "patched": share(grids[placeholder][patched]),
        "mid_layer": repairs,
        "back_patching": sites.accuracies(back),
    }
    full = observed.exits[depth, setting.mapping]
    longest = max((one.tokens for one in full if one.right), default=1)
    profile = Profile(
        model=corrector.loaded.name,
        fingerprint=corrector.loaded.fingerprint,
        strategy=advised(evidence),
        choice=Choice(setting.layer, 0, setting.mapping),
        patched=patched,
        mid_layer=middle,
        back_patched=back_patched,
        back_patching=_helps(back[back_patched], [one.right for one in direct[spread]]),
        answer_layer=setting.answer_layer,
        thresholds=Thresholds(
            setting.exit,
            setting.answer,
            setting.sure,
            decided.select,
            setting.bridges,
            longest,
            decided.margin,
        ),
        confidence=decided.confidence,
        forms=corrector.used.forms,
        placeholder=placeholder,
        evidence=evidence,
        fitted=fitted,
    )
    on_step("replay")
    return replace(profile, replay=await _replay(corrector, profile, hops))


def most_steps(depth: int) -> int:
    """Of the calibration of a model with so many layers: fewer where the tokenizer has no chat template, a placeholder
    is no single token, or a layer cannot be read."""
    formed = len(FORMS) + KEPT * len(ASKED) + 1
    ways = 3 + len(MAPPINGS) * depth + len(WEIGHED) + len(MAPPINGS) * (depth - 1)
    grids = len(sites.PLACEHOLDERS) + 2 + 1 + len(mid_layer.NONLINEAR)  # identity; norm-matched and back; fitted
    return formed + ways + grids + 1


async def _formed(
    corrector: Corrector, questions: Sequence[GoldQuestion], journal: Journal, on_step: Callable[[str], object]
) -> tuple[Corrector, dict[str, Any]]:
    """The corrector with the forms that are best on some of the questions, and the shares right of all that were tried.

    An example whose answer is one of the questions' own is left out.
    """
    named = {normal(name) for q in questions for name in (*q.accepted, *q.accepted_bridges)}
    examples = tuple(example for example in EXAMPLES if normal(example.answer) not in named)
    chains = [
        Chain(q.ask().wording, q.hop1, q.hop2, q.accepted_bridges, q.accepted)
        for q in questions[:: -(-len(questions) // FORMED)]
    ]

    async def compute() -> dict[str, Any]:
        chosen = await choose_forms(
            corrector.loaded, corrector.engine, chains, examples, first=len(chains) // 4, on_step=on_step
        )
        return asdict(chosen)

    found = await journal.step("forms", compute)
    forms = Forms.from_fields(found["forms"])
    return corrector.using(replace(corrector.used, forms=forms)), {"n": len(chains), "shares": found["shares"]}


async def _readable(
    journal: Journal, hop: str, early: bool, corrector: Corrector, prompts: Sequence[tuple[int, ...]]
) -> list[int]:
    """The layers that a hop may be left at: the last one alone where there are too few questions to choose others."""
    if not early:
        return [corrector.loaded.parts.depth]

    async def compute() -> list[Any]:
        return await readable_layers(corrector, prompts)

    return list(await journal.step(f"readable layers of {hop}", compute))


def _reading(corrector: Corrector, question: GoldQuestion, read: Said) -> int:
    return corrector.loaded.parts.depth * (len(corrector.prompts.encode(question.hop1, "hop1")) + read.tokens)


async def _cells(
    journal: Journal, name: str, compute: Callable[[], Awaitable[sites.Cells]], on_step: Callable[[str], object]
) -> sites.Cells:
    async def noted() -> list[Any]:
        return [[*astuple(choice), right] for choice, right in (await compute()).items()]

    on_step(name)
    rows = await journal.step(name, noted)
    return {Choice(*choice): right for *choice, right in rows}


async def _middle(
    corrector: Corrector,
    questions: Sequence[GoldQuestion],
    fixed: Sequence[sites.Cells],
    journal: Journal,
    on_step: Callable[[str], object],
) -> tuple[Choice, FittedMapping | None, dict[str, dict[str, float]]]:
    """The best choice with l* >= 1, its mapping if it was fitted, and how often each mapping and cell is right."""
    depth = corrector.loaded.parts.depth
    read: list[mid_layer.Pairs] = []

    def fitting(kind: str, choices: Sequence[Choice]) -> Callable[[], Awaitable[sites.Cells]]:
        async def compute() -> sites.Cells:
            if not read:
                read.append(await mid_layer.pairs(corrector, questions))
            return await mid_layer.cells(corrector, questions, read[0], kind, choices)

        return compute

    by_kind = {next(iter(cells)).mapping: mid_layer.repairs(cells) for cells in fixed}
    linear = fitting(mid_layer.LINEAR, mid_layer.fitted_choices(depth))
    by_kind[mid_layer.LINEAR] = await _cells(journal, mid_layer.LINEAR, linear, on_step)
    where = sites.best(by_kind[mid_layer.LINEAR])
    for kind in mid_layer.NONLINEAR:
        by_kind[kind] = await _cells(journal, kind, fitting(kind, [where]), on_step)
    kind = max(by_kind, key=lambda name: sum(by_kind[name][sites.best(by_kind[name])]))
    choice = sites.best(by_kind[kind])
    fitted = None
    if choice.mapping == FITTED:
        pairs = read[0] if read else await mid_layer.pairs(corrector, questions)
        fitted = pairs.fitted(corrector, kind, choice, None)
    return choice, fitted, {name: sites.accuracies(cells) for name, cells in by_kind.items()}


async def _replay(corrector: Corrector, profile: Profile, questions: Sequence[GoldQuestion]) -> tuple[Replay, ...]:
    """About 20 questions that the profile answers right by patching, as it answers them, asked as a service asks them.

    They are of the surer half, and answered the same among other questions: one that is nearly another one changes
    with the arithmetic of the machine.
    """
    deployed = corrector.using(profile)
    asked = [Question.from_fields(q.question, q.hop1, q.hop2) for q in questions]
    answers = await deployed.answer_all(asked, "deployed")
    good = [
        (q, a)
        for q, a in zip(questions, answers, strict=True)
        if isinstance(a, Answer) and a.strategy == profile.strategy and exact_match(a.answer, q.accepted)
    ]
    surest = sorted(good, key=lambda pair: -(pair[1].confidence or 0.0))[: max(2 * REPLAYED, len(good) // 2)]
    chosen = surest[:: max(1, len(surest) // (2 * REPLAYED))]
    entries = [Replay(q.question, q.hop1, q.hop2, a.answer) for q, a in chosen]
    again = await deployed.answer_all([Question.from_fields(e.question, e.hop1, e.hop2) for e in entries], "deployed")
    same = [e for e, a in zip(entries, again, strict=True) if isinstance(a, Answer) and a.answer == e.answer]
    return tuple(same[:REPLAYED])


def _helps(patched: Sequence[bool], direct: Sequence[bool]) -> bool:
    return sum(patched) > sum(direct) and mcnemar(patched, direct) < SIGNIFICANT
