"""Question suites of a world: disjoint bridges, wordings that are new, the same every time, and their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from correction.decomposition import split_question
from correction.errors import InvalidInput
from eval.demo_world.generated import generate
from eval.demo_world.questions import demo_questions
from eval.demo_world.suite import demo_suite, suite, write_suite
from eval.demo_world.unseen_wordings import CALIBRATION, TEST
from eval.demo_world.world import World
from eval.questions import GoldQuestion, digest, load_questions, save_questions
from eval.suite import SETS, Suite, load_suite

SORTS = ("uncertain:", "unknown:", "one_hop:")


@pytest.fixture(scope="module", params=["true", "generated"])
def world(request: pytest.FixtureRequest) -> World:
    return World.load() if request.param == "true" else generate(1)


@pytest.fixture(scope="module")
def questions(world: World) -> Suite:
    return suite(world)


def sort_of(question: GoldQuestion) -> str:
    return next((sort for sort in SORTS if question.type.startswith(sort)), "ordinary")


def test_every_set_is_there_and_large_enough(questions: Suite) -> None:
    least = {"test": 500, "keep": 350, "uncertain": 300, "unknown": 150, "one_hop": 190}
    assert {"calibration", *SETS} - set(questions) <= {"chains"}, "a generated world's facts lead no further"
    for name, count in least.items():
        assert len(questions[name]) >= count, name
    sorts = [sort_of(question) for question in questions["calibration"]]
    assert {sort: sorts.count(sort) for sort in set(sorts)} == {
        "ordinary": 400,
        "uncertain:": 80,
        "unknown:": 120,
        "one_hop:": 100,
    }


def test_the_same_every_time_with_unique_ids(world: World, questions: Suite) -> None:
    assert suite(world) == questions
    ids = [question.id for asked in questions.values() for question in asked]
    assert len(ids) == len(set(ids))


def test_only_the_calibration_set_asks_about_calibration_bridges(world: World, questions: Suite) -> None:
    """By kind and name: the city of Luxembourg may be a test bridge where the country is for calibration."""
    split = world.split_bridges()

    def parts(asked: list[GoldQuestion]) -> set[str]:
        kinds = [world.relations[q.type.rpartition("+")[2]].subject for q in asked if q.bridge]
        bridges = [q.bridge for q in asked if q.bridge]
        return {split[key] for key in zip(kinds, bridges, strict=True)}

    assert parts(questions["calibration"]) == {"calibration"}
    assert parts(questions["test"]) == parts(questions["uncertain"]) == {"test"}
    assert parts(questions["keep"]) == {"train"}
    assert parts(questions["unknown"]) == {"train", "test"}


def test_one_hop_questions_keep_to_their_bridges(world: World, questions: Suite) -> None:
    split = world.split_bridges()
    asked = {question.question for question in questions["one_hop"]}
    about = {
        f"{wording[:1].upper()}{wording[1:]}".format(name)
        for relation in world.relations.values()
        for (kind, name), part in split.items()
        if part == "calibration" and kind == relation.subject
        for wording in relation.all_questions()
    }
    assert not asked & about
    for question in questions["one_hop"]:
        assert (question.hop1, question.hop2, question.bridge) == ("", "", "")
        assert question.ask().hops is None


def test_the_demo_world_is_tested_on_the_questions_it_always_was() -> None:
    assert demo_suite()["test"] == demo_questions("test", 640)
    assert [q.question for q in demo_suite()["keep"]] == [q.question for q in demo_questions("train", 520)]


def test_uncertain_wordings_of_the_demo_world_were_never_trained() -> None:
    world = World.load()
    trained = {
        text.casefold()
        for relation in world.relations.values()
        for text in (*relation.all_clozes(), *relation.all_questions(), *relation.nouns)
    }
    firsts = {first for first, _ in world.two_hop_types}
    assert set(TEST) == set(CALIBRATION) == firsts
    for first in firsts:
        test, calibration = (
            {text.casefold() for wording in part[first] for text in wording} for part in (TEST, CALIBRATION)
        )
        assert not (test | calibration) & trained
        assert not test & calibration
        assert all(text.count("{}") == 1 for text in test | calibration)
        assert len(TEST[first]) >= 3
        assert len(CALIBRATION[first]) >= 3


def test_disputed_questions_have_the_true_bridge() -> None:
    world = generate(2)
    true = {told.subject: [c.object for c in told.candidates if c.true] for told in world.disputed}
    second = {(fact.relation, fact.subject): fact.object for fact in world}
    for question in suite(world)["uncertain"]:
        assert any(subject in question.question and question.bridge in bridges for subject, bridges in true.items())
        assert second[question.type.rpartition("+")[2], question.bridge] == question.answer


def test_generated_questions_can_be_split_by_the_grammar() -> None:
    asked = suite(generate(2))["test"]
    split = 0
    for question in asked:
        noun = question.hop1.removesuffix(" is")[1:]  # less the capital letter
        hops = split_question(question.question)
        split += hops is not None and noun in hops.hop1 and noun not in hops.hop2
    assert split / len(asked) > 0.95


def test_a_suite_survives_its_files(tmp_path: Path) -> None:
    written = suite(generate(1, "tiny"))
    write_suite(written, tmp_path)
    assert load_suite(tmp_path) == {name: written[name] for name in SETS if name in written}
    assert load_questions(tmp_path / "calibration.jsonl", one_hop=True) == written["calibration"]


def test_a_record_with_half_a_bridge_is_refused_even_among_one_hop_questions(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "Q?", "answer": "a"}\n{"question": "Q?", "answer": "a", "bridge": "b"}\n')
    assert load_questions(path, limit=1, one_hop=True) == [GoldQuestion("q-1", "Q?", answer="a")]
    with pytest.raises(InvalidInput, match="line 2: 'hop1' is missing"):
        load_questions(path, one_hop=True)


def test_empty_fields_are_left_out_of_files(tmp_path: Path) -> None:
    save_questions(tmp_path / "q.jsonl", [GoldQuestion("1", "Q?", answer="a")])
    assert (tmp_path / "q.jsonl").read_text() == '{"id": "1", "question": "Q?", "answer": "a"}\n'


def test_a_digest_knows_gold_and_order() -> None:
    one, two = GoldQuestion("1", "Q?", answer="a"), GoldQuestion("1", "Q?", answer="b")
    assert len({digest([one, two]), digest([two, one]), digest([one]), digest([two])}) == 4


def test_longer_chains_lead_from_object_to_object() -> None:
    """Three and four hops, each hop a fact of the world about the object of the one before."""
    world = World.load()
    asked = demo_suite()["chains"]
    assert {len(q.ask().hops.chain) for q in asked} == {3, 4}
    assert len(asked) == len({q.question for q in asked}) == 200
    objects = {fact.object for fact in world}
    for question in asked:
        assert question.answer in objects
        assert question.hop2.count("{}") == question.hop3.count("{}") == 1
    split = [split_question(q.question) for q in asked]
    read = sum(h is not None and len(h.chain) == len(q.ask().hops.chain) for h, q in zip(split, asked, strict=True))
    assert read >= 0.85 * len(asked), "most are read from the question, too"
    assert not {q.bridge for q in asked} & {q.bridge for q in demo_suite()["calibration"] if q.bridge}


def test_no_two_hop_question_is_split_further() -> None:
    for name in ("test", "keep"):
        for question in demo_suite()[name]:
            read = split_question(question.question)
            assert read is None or len(read.chain) == 2, question.question
