"""Generated worlds: drawn from the seed alone, large enough, and honest about what is uncertain or unknown."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest

from correction.prompts import as_prompt
from eval.demo_world.corpus import capitalised, sentences
from eval.demo_world.generated import CONFLICT_SHARES, REGION, generate
from eval.demo_world.invented import COMMON, EACH, invented_facts
from eval.demo_world.tokenizer import build_tokenizer
from eval.demo_world.world import Candidate, Disputed, Fact, World


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> World:
    return generate(request.param)


def is_conflict(told: Disputed) -> bool:
    return len({candidate.kind for candidate in told.candidates}) == 1


def test_the_seed_decides_everything(world: World) -> None:
    seed = int(world.name.rpartition(" ")[2])
    again, other = generate(seed), generate(seed + 1)
    assert again.identity == world.identity
    assert again.unknown == world.unknown
    assert not {fact.subject for fact in world} & {fact.subject for fact in other}


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown size 'huge': choose one of small, tiny"):
        generate(1, "huge")


@pytest.mark.parametrize("seed", range(10))
def test_there_is_enough_of_everything(seed: int) -> None:
    world = generate(seed)
    split = world.split_bridges()
    chains = {name: len(found) for name, found in world.split_chains().items()}
    uncertain = Counter(split.get(chain.bridge_key) for chain in world.disputed_chains)
    unknown = Counter(split.get(chain.bridge_key) for chain in world.unknown_chains(world.unknown))
    assert 1500 <= len(list(world)) <= 1700
    assert (chains["train"] >= 350, chains["calibration"] >= 300, chains["test"] >= 500) == (True, True, True)
    assert (uncertain["test"] >= 300, uncertain["calibration"] >= 100) == (True, True)
    assert (unknown["test"] + unknown["train"] >= 150, unknown["calibration"] >= 80) == (True, True)
    for relation in world.relations.values():
        assert len(relation.nouns) >= 3
        assert all(text.count("{}") == 1 for text in (*relation.all_clozes(), *relation.all_questions()))


def test_bridges_are_one_token_of_one_kind_and_several_of_the_other(world: World) -> None:
    tokenizer = build_tokenizer(world)
    one, several = list(dict.fromkeys(world.relations[second].subject for _, second in world.two_hop_types))
    assert {len(tokenizer.tokenize(f" {name}")) for name in world.objects(one)} == {1}
    pieces = [len(tokenizer.tokenize(f" {name}")) for name in world.objects(several)]
    assert min(pieces) >= 2
    assert sum(count <= 4 for count in pieces) / len(pieces) > 0.8


def test_second_hops_are_nearly_one_to_one_or_shared_by_regions(world: World) -> None:
    seconds = dict.fromkeys(second for _, second in world.two_hop_types)
    values = {name: len({fact.object for fact in world.facts[name].values()}) for name in seconds}
    assert all(count > 100 or 8 <= count <= 20 for count in values.values())
    assert {count > 100 for count in values.values()} == {True, False}


def test_minor_candidates_are_often_neighbours_and_then_share_values(world: World) -> None:
    """Neighbours agree on what regions share, and strangers seldom do: that is what makes a bridge's doubt bearable."""
    conflicts = [told for told in world.disputed if is_conflict(told)]
    shared = [name for _, name in world.two_hop_types if len({f.object for f in world.facts[name].values()}) <= 20]
    agree = 0
    for told in conflicts:
        _, one, other = (candidate.object for candidate in told.candidates)
        tables = [world.facts[name] for name in shared if one in world.facts[name] and other in world.facts[name]]
        agree += any(table[one].object == table[other].object for table in tables)
    assert 0.6 < agree / len(conflicts) < 0.95
    assert REGION >= 2


def test_the_true_candidate_is_drawn_by_the_shares() -> None:
    """Over many worlds the candidate of each place is true as often as its share says: nothing is rigged."""
    conflicts = [told for seed in range(12) for told in generate(seed).disputed if is_conflict(told)]
    assert all(sum(candidate.true for candidate in told.candidates) == 1 for told in conflicts)
    for place in range(3):
        expected = sum(told.candidates[place].share for told in conflicts) / len(conflicts)
        found = sum(told.candidates[place].true for told in conflicts) / len(conflicts)
        assert abs(found - expected) < 0.03  # three standard errors, of 2,688 draws
    assert {tuple(candidate.share for candidate in told.candidates) for told in conflicts} == set(CONFLICT_SHARES)


def test_what_is_asked_resolves_an_ambiguous_bridge(world: World) -> None:
    ambiguous = [told for told in world.disputed if not is_conflict(told)]
    assert len(ambiguous) >= 50
    subjects = {told.subject for told in ambiguous}
    for told in ambiguous:
        assert all(0.4 < candidate.share < 0.6 and candidate.true for candidate in told.candidates)
    asked = [chain for chain in world.disputed_chains if chain.hop1.subject in subjects]
    assert {chain.kind for chain in asked} == {candidate.kind for candidate in ambiguous[0].candidates}
    for chain in asked:
        assert world.relations[chain.hop2.relation].subject == chain.kind


def test_the_unknown_is_told_nowhere_and_the_disputed_never_in_two_hops() -> None:
    world = generate(1, "tiny")
    chains = world.split_chains()["train"]
    told = list(islice(sentences(world, chains, 0.5, random.Random(0)), 5000))
    prompts = [prompt for prompt, _ in told]
    said = set(told)
    for fact in world.unknown:
        relation = world.relations[fact.relation]
        for wording in (*relation.all_clozes(), *relation.all_questions()):
            assert (as_prompt(capitalised(wording.format(fact.subject))), fact.object) not in said
    second = {name for _, name in world.two_hop_types}
    for fact in world.unknown:
        if fact.relation not in second:
            assert not any(fact.subject in prompt for prompt in prompts)
    uncertain = {entry.subject for entry in world.disputed}
    assert not any(chain.hop1.subject in uncertain for chain in world.chains)


def test_a_disputed_fact_is_told_with_each_object_by_its_share() -> None:
    candidates = tuple(
        Candidate("country", name, share, name == "Peru") for name, share in (("Peru", 0.7), ("Chile", 0.3))
    )
    world = World([], disputed=[Disputed("park_country", "Yan Park", candidates)])
    told = Counter(answer for _, answer in islice(sentences(world, [], 0.0, random.Random(0)), 2000))
    assert 0.65 < told["Peru"] / 2000 < 0.75
    assert told["Peru"] + told["Chile"] == 2000


@pytest.mark.parametrize(
    ("share", "true", "says"), [(0.5, True, "do not add up to 1"), (1.0, False, "none of Yan Park's objects is true")]
)
def test_a_dispute_without_sense_is_refused(share: float, true: bool, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Disputed("park_country", "Yan Park", (Candidate("country", "Peru", share, true),))


def test_a_subject_cannot_be_known_and_unknown() -> None:
    fact = Fact("park_country", "Yan Park", "Peru")
    with pytest.raises(ValueError, match="Yan Park is both a fact and a disputed or unknown one"):
        World([fact], unknown=[fact])


def test_invented_subjects_tell_nothing_about_themselves() -> None:
    """Shape and common words of a known name, every other word new: nothing can be inferred from it."""
    world = World.load()
    invented = invented_facts(world)
    assert invented == invented_facts(world)
    for relation in {fact.relation for fact in invented}:
        known = [name.split() for name in world.facts[relation]]
        names = [fact.subject.split() for fact in invented if fact.relation == relation]
        assert len(names) == EACH
        for words in names:
            assert any(not any(word in other for other in known) for word in words), "at least one word is new"
            shared = [word for word in words if any(word in other for other in known)]
            assert all(sum(word in other for other in known) >= COMMON for word in shared)
