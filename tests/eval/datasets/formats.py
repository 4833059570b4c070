"""A small file of every published format, written by us: the fields are the published ones, the facts are common ones.

`SEEN` formats were compared with real files (see `test_real_files.py`), of the others only the format is known.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any


def _table(header: list[str], rows: list[list[str]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return out.getvalue()


MQUAKE: list[dict[str, Any]] = [
    {
        "case_id": 1,
        "requested_rewrite": [],
        "questions": ["Who wrote the book?", "The book is by whom?", "Whose book is it?"],
        "answer": "England",
        "answer_alias": ["UK"],
        "new_answer": "France",
        "new_answer_alias": [],
        "single_hops": [
            {"question": "Q1?", "cloze": "Emma was written by", "answer": "Jane Austen", "answer_alias": ["Austen"]},
            {"question": "Q2?", "cloze": "Jane Austen is a citizen of", "answer": "England", "answer_alias": []},
        ],
        "new_single_hops": [],
        "orig": {"triples": [], "triples_labeled": []},
    }
]
WIKI = [
    {
        "_id": "a1",
        "type": "compositional",
        "question": "Where was the director of The Zone born?",
        "context": [["The Zone", ["A film."]]],
        "entity_ids": "Q1_Q2",
        "supporting_facts": [["The Zone", 0]],
        "evidences": [["The Zone", "director", "Ann Lee"], ["Ann Lee", "place of birth", "Oslo"]],
        "answer": "Oslo",
        "evidences_id": [],
        "answer_id": "Q3",
    },
    {
        "_id": "a2",
        "type": "comparison",
        "question": "Who is older, Ann or Bob?",
        "context": [],
        "supporting_facts": [],
        "evidences": [["Ann", "date of birth", "1900"], ["Bob", "date of birth", "1901"]],
        "answer": "Ann",
    },
]
MUSIQUE = [
    {
        "id": "2hop__1_2",
        "paragraphs": [{"idx": 0, "title": "T", "paragraph_text": "P", "is_supporting": True}],
        "question": "What is the capital of the county where Van Hook lies?",
        "question_decomposition": [
            {"id": 1, "question": "Van Hook >> located in", "answer": "Mountrail", "paragraph_support_idx": 0},
            {"id": 2, "question": "#1 >> capital", "answer": "Stanley", "paragraph_support_idx": None},
        ],
        "answer": "Stanley",
        "answer_aliases": ["Stanley, ND"],
        "answerable": True,
    },
    {
        "id": "3hop2__1_2_3",
        "paragraphs": [],
        "question": "Two branches?",
        "question_decomposition": [
            {"id": 1, "question": "A >> spouse", "answer": "B"},
            {"id": 2, "question": "C >> spouse", "answer": "D"},
            {"id": 3, "question": "Who knew #1 and #2?", "answer": "E"},
        ],
        "answer": "E",
        "answer_aliases": [],
        "answerable": True,
    },
    {
        "id": "2hop__3_4",
        "question": "Not to be answered?",
        "question_decomposition": [],
        "answer": "",
        "answerable": False,
    },
]
HOTPOT = [
    {
        "_id": "5a7",
        "question": "If Gallu is a demon, Lilu is what?",
        "answer": "a spirit",
        "type": "bridge",
        "level": "easy",
        "supporting_facts": [["Alû", 3]],
        "context": [["Alû", ["A demon."]]],
    }
]
BAMBOOGLE_DECOMPOSED = [
    {
        "Question": "Who led the country that Oslo is in?",
        "Answer": "king olav",
        "Q1": "What country is Oslo in?",
        "A1": ["Norway"],
        "Q2": "Who led Norway?",
        "A2": ["king olav", "Olav"],
    }
]
BAMBOOGLE_LISTED = [{"Question": "Q?", "source": "bamboogle", "id": "bamboogle_1", "note": "", "answer": ["a", "b"]}]
POPQA_HEADER = (
    "id subj prop obj subj_id prop_id obj_id s_aliases o_aliases s_uri o_uri s_wiki_title o_wiki_title s_pop o_pop "
    "question possible_answers"
).split()
POPQA_ROW = [
    "0", "George Rankin", "occupation", "politician", "1", "2", "3", "[]", '["pol"]', "u", "u", "t", "t", "1", "2",
    "What is George Rankin's occupation?", '["politician", "pol"]',
]  # fmt: skip
TWOHOPFACT_HEADER = [
    "uid", "category", "e1.value", "e2.value", "e2.aliases", "e3.value", "e3.aliases", "r2.template",
    "r1(e1).prompt", "r2(e2).prompt", "r2(r1(e1)).prompt",
]  # fmt: skip
TWOHOPFACT_ROW = [
    "7", "novel-author-birthcity", "Nineteen Eighty-Four", "George Orwell", "(('George Orwell', 'Eric Blair'),)",
    "Motihari", "(('Motihari',),)", "{} was born in the city of", "The author of the novel Nineteen Eighty-Four is",
    "George Orwell was born in the city of", "The author of the novel Nineteen Eighty-Four was born in the city of",
]  # fmt: skip
HOPPING_HEADER = [
    "", "id", "e1_label", "e2_label", "e3_label", "e1_aliases", "e2_aliases", "e3_aliases", "r1_type", "r2_type",
    "r1_template", "r2_template", "source_prompt",
]  # fmt: skip
HOPPING_ROW = [
    "0", "3", "Ann", "Norway", "Oslo", "[]", "['Kingdom of Norway']", "['Christiania', 'O']", "citizenship", "capital",
    "the country of citizenship of {}", "the capital of {}", "the capital of the country of citizenship of Ann is",
]  # fmt: skip
PATCHSCOPES_HEADER = [
    "", "sample_id", "prompt_source", "position_source", "prompt_target", "position_target", "baseline_hop2",
    "baseline_hop3", "baseline_multihop3", "hop1", "hop2", "hop3",
]  # fmt: skip
PATCHSCOPES_COT = [
    "0", "0", "Who is the current CEO of ", "-1", "the company that created WinDbg", "-1",
    "the company that created WinDbg", "Who is the current CEO of Microsoft",
    "Who is the current CEO of the company that created WinDbg", "WinDbg", "Microsoft", "Satya Nadella",
]  # fmt: skip
PATCHSCOPES_FIRST = [
    "0", "0", "WinDbg was created by", "-1", "Who is the current CEO of {}", "-1", *PATCHSCOPES_COT[6:],
]  # fmt: skip
COUNTERFACT = [
    {
        "case_id": 0,
        "pararel_idx": 2796,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": "P103",
            "target_new": {"str": "English", "id": "Q1860"},
            "target_true": {"str": "French", "id": "Q150"},
            "subject": "Danielle Darrieux",
        },
        "paraphrase_prompts": [],
        "neighborhood_prompts": [],
        "attribute_prompts": [],
        "generation_prompts": [],
    }
]
KNOWN = [
    {
        "known_id": 0,
        "subject": "Vinson Massif",
        "attribute": "Antarctica",
        "template": "{} is located in the continent",
        "prediction": " of Antarctica.",
        "prompt": "Vinson Massif is located in the continent of",
        "relation_id": "P30",
    }
]
HOPFIX = {
    "id": "q1", "question": "Q?", "hop1": "H is", "hop2": "The currency of {} is", "bridge": "b", "answer": "rand",
    "paraphrases": ["Q again?"],
}  # fmt: skip


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


# dataset, file name, text, questions, of which with hops
FILES = [
    ("hopfix", "q.jsonl", _lines([HOPFIX]), 1, 1),
    ("mquake", "MQuAKE-CF-3k-v2.json", json.dumps(MQUAKE, indent=1), 1, 1),
    ("2wikimultihopqa", "dev.json", json.dumps(WIKI), 2, 1),
    ("2wikimultihopqa", "dev.jsonl", _lines(WIKI), 2, 1),
    ("musique", "musique_ans_v1.0_dev.jsonl", _lines(MUSIQUE), 2, 1),
    ("musique", "musique.json", json.dumps(MUSIQUE, indent=2), 2, 1),
    ("hotpotqa", "hotpot_dev_distractor_v1.json", json.dumps(HOTPOT), 1, 0),
    ("bamboogle", "bamboogle.json", json.dumps(BAMBOOGLE_DECOMPOSED), 1, 1),
    ("bamboogle", "listed.json", json.dumps(BAMBOOGLE_LISTED), 1, 0),
    ("bamboogle", "bare.csv", _table([], [["Q, and more?", "", "", "", "A", "", ""]] * 2), 2, 0),
    ("bamboogle", "named.csv", _table(["Question", "Answer"], [["Q?", "A"]]), 1, 0),
    ("popqa", "popQA.tsv", _table(POPQA_HEADER, [POPQA_ROW], "\t"), 1, 0),
    ("twohopfact", "TwoHopFact.csv", _table(TWOHOPFACT_HEADER, [TWOHOPFACT_ROW]), 1, 1),
    ("socrates", "SOCRATES_v1.csv", _table(TWOHOPFACT_HEADER, [TWOHOPFACT_ROW]), 1, 1),
    ("hopping_too_late", "two_hop.csv", _table(HOPPING_HEADER, [HOPPING_ROW]), 1, 1),
    ("patchscopes", "multihop_CoT.tsv", _table(PATCHSCOPES_HEADER, [PATCHSCOPES_COT], "\t"), 1, 1),
    ("patchscopes", "multihop_exp1.tsv", _table(PATCHSCOPES_HEADER, [PATCHSCOPES_FIRST], "\t"), 1, 1),
    ("counterfact", "counterfact.json", json.dumps(COUNTERFACT), 1, 0),
    ("counterfact", "known_1000.json", json.dumps(KNOWN), 1, 0),
]
RELATIONS = {
    "landmark_in_country": (
        "landmark in country", "{} is in the country of", [["Eiffel Tower", "France"], ["Eiffel Tower", "France"]]
    ),
    "country_capital": (
        "country capital city", "The capital of {} is", [["France", "Paris"], ["Brazil", "Bras\\u00edlia"]]
    ),
}  # fmt: skip


def relation(name: str) -> str:
    """An LRE relation's file; a sample is written twice, and one holds an escape as text, as in the published ones."""
    title, template, samples = RELATIONS[name]
    return json.dumps(
        {
            "name": title,
            "prompt_templates": [template],
            "prompt_templates_zs": [],
            "properties": {"relation_type": "factual", "domain_name": "d", "range_name": "r", "symmetric": False},
            "samples": [{"subject": subject, "object": object} for subject, object in samples],
        }
    )


def write_all(folder: Path) -> dict[str, str]:
    """A file of every format in the folder (of LRE a folder): its path by the format's name."""
    paths: dict[str, str] = {}
    for name, file, text, *_ in FILES:
        if name not in paths:
            (folder / file).write_text(text, encoding="utf-8")
            paths[name] = str(folder / file)
    (folder / "lre").mkdir()
    for name in RELATIONS:
        (folder / "lre" / f"{name}.json").write_text(relation(name), encoding="utf-8")
    return {**paths, "lre": str(folder / "lre")}
