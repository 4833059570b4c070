"""Every dataset loads from its published format, and a wrong record says where it stands and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correction.errors import InvalidInput
from eval.datasets import DATASETS, Reading
from eval.questions import GoldQuestion
from eval.scorers import SCORERS
from tests.eval.datasets.formats import FILES, MQUAKE, MUSIQUE, RELATIONS, WIKI, relation


def load(name: str, path: Path) -> list[GoldQuestion]:
    reading = Reading(DATASETS[name], path)
    asked = list(reading)
    assert reading.faults == 0, reading.shown
    return asked


@pytest.mark.parametrize(("name", "file", "text", "count", "with_hops"), FILES, ids=[f"{f[0]}-{f[1]}" for f in FILES])
def test_a_published_format_loads(tmp_path: Path, name: str, file: str, text: str, count: int, with_hops: int) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    asked = load(name, tmp_path / file)
    assert (len(asked), sum(bool(q.hop1) for q in asked)) == (count, with_hops)
    for question in asked:
        question.ask()  # hops have their blanks
        assert question.answer
        assert question.question
    assert len({q.id for q in asked}) == count


def test_every_dataset_is_tested_and_has_its_scorer() -> None:
    assert {file[0] for file in FILES} | {"lre"} == set(DATASETS)
    assert {dataset.scorer for dataset in DATASETS.values()} <= set(SCORERS)


def loaded(tmp_path: Path, name: str, number: int = 0) -> GoldQuestion:
    file, text = next((file, text) for dataset, file, text, *_ in FILES if dataset == name)
    (tmp_path / file).write_text(text, encoding="utf-8")
    return load(name, tmp_path / file)[number]


def test_mquake_has_three_wordings_and_is_asked_before_any_edit(tmp_path: Path) -> None:
    question = loaded(tmp_path, "mquake")
    assert (question.hop1, question.hop2) == ("Emma was written by", "{} is a citizen of")
    assert (question.bridge, question.answer, question.answer_aliases) == ("Jane Austen", "England", ("UK",))
    assert [q.question for q in question.wordings()] == MQUAKE[0]["questions"]


def test_2wikimultihopqa_words_its_evidences(tmp_path: Path) -> None:
    chain, comparison = loaded(tmp_path, "2wikimultihopqa"), loaded(tmp_path, "2wikimultihopqa", 1)
    assert (chain.hop1, chain.hop2) == ("The director of The Zone is", "The place of birth of {} is")
    assert (chain.bridge, comparison.bridge, comparison.hop1) == ("Ann Lee", "", "")


def test_musique_takes_chains_and_leaves_out_what_cannot_be_answered(tmp_path: Path) -> None:
    chain, branches = loaded(tmp_path, "musique"), loaded(tmp_path, "musique", 1)
    assert (chain.hop1, chain.hop2) == ("Van Hook is located in", "The capital of {} is")
    assert (branches.hop1, branches.type) == ("", "3hop2")


@pytest.mark.parametrize("file", ["multihop_CoT.tsv", "multihop_exp1.tsv"])
def test_patchscopes_files_of_both_kinds_ask_the_same(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(next(text for _, name, text, *_ in FILES if name == file), encoding="utf-8")
    (question,) = load("patchscopes", tmp_path / file)
    assert question.hop1 in ("The company that created WinDbg is", "WinDbg was created by")
    assert question.hop2 == "Who is the current CEO of {}?"
    assert question.question == "Who is the current CEO of the company that created WinDbg?"


def test_aliases_in_python_tuples_are_flattened(tmp_path: Path) -> None:
    question = loaded(tmp_path, "socrates")
    assert (question.bridge, question.bridge_aliases) == ("George Orwell", ("Eric Blair",))
    assert question.hop2 == "{} was born in the city of"


def test_lre_relations_compose(tmp_path: Path) -> None:
    for name in RELATIONS:
        (tmp_path / f"{name}.json").write_text(relation(name))
    (question,) = load("lre", tmp_path)
    assert question.question == "The capital of the country where Eiffel Tower is located is"
    assert (question.bridge, question.answer, question.hop2) == ("France", "Paris", "The capital of {} is")
    assert load("lre", tmp_path / "country_capital.json")[1].answer == "Brasília"


@pytest.mark.parametrize(
    ("name", "record", "says"),
    [
        ("musique", {**MUSIQUE[0], "answer": None}, "line 2: 'answer' is missing"),
        ("musique", {**MUSIQUE[0], "question_decomposition": "x"}, "line 2: 'question_decomposition' is not a list"),
        (
            "musique",
            {**MUSIQUE[0], "question_decomposition": [{"question": "a >> b"}, {"question": "#1 >> c"}]},
            r"line 2: 'question_decomposition\[0\].answer' is missing",
        ),
        ("2wikimultihopqa", {**WIKI[0], "evidences": [["a", "b"]]}, "line 2: 'evidences' is not a list of"),
        ("mquake", {**MQUAKE[0], "questions": []}, "line 2: 'questions' is empty"),
        ("mquake", {**MQUAKE[0], "answer": ["x"]}, "line 2: 'answer' is a list, not a text"),
        ("hotpotqa", {"question": "Q?", "answer": "\ud800", "type": "bridge"}, "line 2: 'answer' holds bytes"),
    ],
)
def test_a_wrong_record_is_counted_and_named(tmp_path: Path, name: str, record: object, says: str) -> None:
    good = {"musique": MUSIQUE[0], "2wikimultihopqa": WIKI[0], "mquake": MQUAKE[0]}.get(
        name, {"_id": "1", "question": "Q?", "answer": "a", "type": "bridge"}
    )
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (good, record, good)))
    reading = Reading(DATASETS[name], path)
    assert len(list(reading)) == 2
    assert reading.faults == 1
    with pytest.raises(InvalidInput, match=says):
        list(Reading(DATASETS[name], path, strict=True))


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(MUSIQUE))
    with pytest.raises(
        InvalidInput, match=r"no question of the format 'mquake'; the first record: .*'questions' is empty"
    ):
        list(Reading(DATASETS["mquake"], path))
    with pytest.raises(InvalidInput, match="there is no such file"):
        Reading(DATASETS["mquake"], tmp_path / "nowhere")


def test_a_digest_is_of_the_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("a")
    two.write_text("b")
    musique, mquake = DATASETS["musique"], DATASETS["mquake"]
    assert len({Reading(d, path).digest() for d in (musique, mquake) for path in (one, two)}) == 4
