"""The question sets of a world, what each is for: see `eval.suite`, which reads them from files.

`calibration` is for `hopfix calibrate`: ordinary, uncertain, unknown-hop and one-hop questions, told apart by the
prefix of their type. All other sets keep away from the calibration bridges.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from eval.demo_world.corpus import capitalised
from eval.demo_world.invented import invented_facts
from eval.demo_world.long_chains import long_questions
from eval.demo_world.questions import one_hop_question, questions_of, spread, worded, world_questions
from eval.demo_world.unseen_wordings import CALIBRATION, TEST, Wording
from eval.demo_world.world import Chain, Fact, World
from eval.questions import GoldQuestion, save_questions

TEST_COUNT, KEEP, UNCERTAIN, UNKNOWN, ONE_HOP, CHAINS = 640, 520, 1500, 160, 200, 200
CALIBRATION_ORDINARY, CALIBRATION_UNCERTAIN, CALIBRATION_UNKNOWN, CALIBRATION_ONE_HOP = 400, 80, 120, 100
WORDINGS = 3  # of an uncertain chain of the demo world


def demo_suite() -> dict[str, list[GoldQuestion]]:
    """The demo world's suite."""
    return suite(World.load())


def suite(world: World, seed: int = 0) -> dict[str, list[GoldQuestion]]:
    """Every question set by name, the same every time. `seed` splits the bridges: training splits them by 0."""
    split = world.split_bridges(seed)

    def on(*names: str) -> Callable[[Chain], bool]:
        return lambda chain: split.get(chain.bridge_key) in names

    unknown = world.unknown_chains(world.unknown or invented_facts(world, seed))
    return {
        "calibration": [
            *_named("calibration", world_questions(world, "calibration", CALIBRATION_ORDINARY, seed)),
            *_uncertain(world, "calibration", CALIBRATION_UNCERTAIN, seed),
            *_unknown(world, "calibration", filter(on("calibration"), unknown), CALIBRATION_UNKNOWN, seed),
            *_one_hop(world, "calibration", split, CALIBRATION_ONE_HOP, seed),
        ],
        "test": world_questions(world, "test", TEST_COUNT, seed),
        "keep": _named("keep", world_questions(world, "train", KEEP, seed)),
        "uncertain": _uncertain(world, "test", UNCERTAIN, seed),
        "unknown": _unknown(world, "test", filter(on("train", "test"), unknown), UNKNOWN, seed),
        "one_hop": _one_hop(world, "test", split, ONE_HOP, seed),
        **({"chains": chains} if (chains := _chains(world, seed)) else {}),
    }


def _chains(world: World, seed: int) -> list[GoldQuestion]:
    return long_questions(world, world.split_chains(seed)["test"], CHAINS, f"chains {seed}")


def write_suite(questions: Mapping[str, Iterable[GoldQuestion]], folder: Path) -> None:
    """A file NAME.jsonl for every set."""
    for name, asked in questions.items():
        save_questions(folder / f"{name}.jsonl", asked)


def _uncertain(world: World, part: str, count: int, seed: int) -> list[GoldQuestion]:
    """Questions whose bridge is uncertain: disputed where the world has disputes, else asked in unseen wordings."""
    if not world.disputed:
        return _unseen_wordings(world, part, TEST if part == "test" else CALIBRATION, count, seed)
    split = world.split_bridges(seed)
    chains = [chain for chain in world.disputed_chains if split.get(chain.bridge_key) == part]
    return _named("uncertain", questions_of(world, chains, count, f"uncertain {seed} {part}"), part)


def _unseen_wordings(
    world: World, part: str, wordings: Mapping[str, tuple[Wording, ...]], count: int, seed: int
) -> list[GoldQuestion]:
    rng = random.Random(f"uncertain {seed} {part}")
    asked: list[GoldQuestion] = []
    for chain in spread(world.split_chains(seed)[part], -(-count // WORDINGS), rng):
        subject = chain.hop1.subject
        for noun, cloze in rng.sample(wordings[chain.hop1.relation], WORDINGS):
            hop1 = capitalised(cloze.format(subject))
            asked.append(worded(chain, world, rng, len(asked), noun.format(subject), hop1))
    return _named("uncertain", asked[:count], part)


def _unknown(world: World, part: str, chains: Iterable[Chain], count: int, seed: int) -> list[GoldQuestion]:
    return _named("unknown", questions_of(world, list(chains), count, f"unknown {seed} {part}"), part)


def _one_hop(
    world: World, part: str, split: Mapping[tuple[str, str], str], count: int, seed: int
) -> list[GoldQuestion]:
    """Facts that lead to a bridge and facts about one, in equal parts; on calibration bridges, or on all others."""
    rng = random.Random(f"one hop {seed} {part}")
    parts = {"calibration"} if part == "calibration" else {"train", "test"}

    def inside(fact: Fact) -> bool:
        # Subject and object may both be bridges: a company has a city, and both have second hops.
        relation = world.relations[fact.relation]
        touched = {split.get((relation.subject, fact.subject)), split.get((relation.object, fact.object))} - {None}
        return bool(touched) and touched <= parts

    chosen: list[Fact] = []
    for names, most in zip(zip(*world.two_hop_types, strict=True), (count // 2, count - count // 2), strict=True):
        facts = [fact for name in dict.fromkeys(names) for fact in world.facts[name].values() if inside(fact)]
        fresh = [fact for fact in facts if fact not in chosen]
        chosen += rng.sample(fresh, min(most, len(fresh)))
    asked = [one_hop_question(fact, world, rng, number) for number, fact in enumerate(chosen)]
    return _named("one_hop", asked, part)


def _named(what: str, questions: Iterable[GoldQuestion], part: str = "test") -> list[GoldQuestion]:
    """With ids that are unique in the whole suite, and types that tell extraordinary questions from ordinary ones."""
    prefix = f"{part}-{what}" if part == "calibration" else what
    ordinary = what in ("keep", "calibration")
    return [
        replace(asked, id=f"{prefix}-{asked.id}", type=asked.type if ordinary else f"{what}:{asked.type}")
        for asked in questions
    ]
