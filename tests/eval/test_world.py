"""The demo world: enough facts, disjoint splits, and questions that do not give their answers away."""

from __future__ import annotations

import random
from hashlib import sha256
from itertools import islice

import pytest

from eval.demo_world.corpus import sentences
from eval.demo_world.questions import demo_questions
from eval.demo_world.relations import FIRST_HOPS, RELATIONS, SECOND_HOPS, TWO_HOP_TYPES
from eval.demo_world.world import MIN_FIRST, MIN_SECOND, Fact, World


@pytest.fixture(scope="module")
def world() -> World:
    return World.load()


def test_there_are_enough_facts_relations_and_types(world: World) -> None:
    assert sum(len(world.facts[name]) for name in FIRST_HOPS) >= 2000
    assert sum(len(world.facts[name]) for name in SECOND_HOPS) >= 700
    assert len(RELATIONS) >= 10
    assert len(TWO_HOP_TYPES) >= 12
    for relation in RELATIONS.values():
        assert len(relation.all_clozes()) + len(relation.all_questions()) >= 3
        assert all(text.count("{}") == 1 for text in (*relation.all_clozes(), *relation.all_questions()))


def test_the_splits_share_no_bridge(world: World) -> None:
    sets = world.split_chains()
    bridges = {name: {chain.bridge_key for chain in chains} for name, chains in sets.items()}
    assert not bridges["train"] & bridges["calibration"]
    assert not bridges["train"] & bridges["test"]
    assert not bridges["calibration"] & bridges["test"]
    assert bridges["unseen"] <= bridges["train"]
    assert sum(len(chains) for chains in sets.values()) == len(world.chains)


def test_both_halves_of_an_unseen_combination_are_trained(world: World) -> None:
    sets = world.split_chains()
    assert len(sets["unseen"]) >= 300
    assert not set(sets["unseen"]) & set(sets["train"])
    for chain in sets["unseen"]:
        assert sum(other.hop1 == chain.hop1 for other in sets["train"]) >= MIN_FIRST
        assert sum(other.hop2 == chain.hop2 for other in sets["train"]) >= MIN_SECOND


def test_no_question_gives_its_answer_away(world: World) -> None:
    for chain in world.chains:
        assert chain.bridge.casefold() not in chain.hop1.subject.casefold().split()
        assert chain.hop2.object != chain.bridge


def test_questions_are_the_same_every_time_and_fit_together() -> None:
    questions = demo_questions("test", 200)
    assert questions == demo_questions("test", 200)
    assert len({question.type for question in questions}) >= 12
    for question in questions:
        inner = question.hop1.removesuffix(" is")
        assert inner[1:] in question.question
        assert question.direct is not None
        assert question.hop2.replace("{}", inner[0].lower() + inner[1:]).casefold() == question.direct.casefold()


def test_a_subject_with_two_objects_is_refused() -> None:
    facts = [Fact("country_capital", "France", "Paris"), Fact("country_capital", "France", "Lyon")]
    with pytest.raises(ValueError, match="France has two objects, Paris and Lyon"):
        World(facts)


def test_the_bundled_model_can_still_be_reproduced(world: World) -> None:
    """Its weights are what this stream of sentences gave: another stream is a new model, and a version bump."""
    stream = sentences(world, world.split_chains()["train"], 0.5, random.Random("sentences 0"))
    drawn = repr(list(islice(stream, 2000)))
    assert sha256(drawn.encode()).hexdigest().startswith("73a3ccfc694a9711")
