"""The loaders on real files, which are not part of this repository: HOPFIX_DATA names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eval.datasets import DATASETS, Reading

DATA = Path(os.environ.get("HOPFIX_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = [  # dataset, file, questions, of which with hops
    ("mquake", "mquake/MQuAKE-hard.json", 429, 429),
    ("2wikimultihopqa", "2wikimultihopqa/wikihop_dev200.jsonl", 200, 68),
    ("musique", "musique/musique_train100_hipporag.json", 100, 95),
    ("hotpotqa", "hotpotqa/hotpotqa_train100_hipporag.json", 100, 0),
    ("bamboogle", "bamboogle/bamboogle_simpledeepsearcher.json", 125, 0),
    ("popqa", "popqa/popQA_1000.tsv", 1000, 0),
    ("patchscopes", "patchscopes/multihop_product_company_ceo_CoT.tsv", 45, 45),
    ("patchscopes", "patchscopes/multihop_product_company_ceo_exp1.tsv", 45, 45),
    ("lre", "lre/factual", 3075, 3075),
    ("lre", "lre/factual/country_capital_city.json", 24, 0),
    ("counterfact", "known_1000/known_1000.json", 1209, 0),
]


@pytest.mark.skipif(not DATA.is_dir(), reason="set HOPFIX_DATA to a folder with the published files")
@pytest.mark.parametrize(("name", "file", "count", "with_hops"), REAL, ids=[file for _, file, *_ in REAL])
def test_a_real_file_loads_whole(name: str, file: str, count: int, with_hops: int) -> None:
    reading = Reading(DATASETS[name], DATA / file)
    asked = list(reading)
    assert (len(asked), sum(bool(q.hop1) for q in asked), reading.faults) == (count, with_hops, 0), reading.shown
    assert len({q.id for q in asked}) == count
    for question in asked:
        question.ask()
