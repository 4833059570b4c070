"""What a chunk is asked, on the demo model: oracles, controls, wordings, and which questions of a set count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from correction.architecture import Blocks
from correction.corrector import Corrector
from correction.errors import InvalidInput
from correction.models import LoadedModel
from eval.columns import Columns
from eval.demo_world.questions import demo_questions
from eval.demo_world.suite import demo_suite
from eval.predicting import ALL, CONTROLS, Predictor, Record
from eval.questions import GoldQuestion
from eval.reports.evaluation import write
from eval.results import results_of
from eval.run import Run
from eval.scorers import SCORERS
from eval.sweep import Texts, back_sweep, oracle_grid, sweep, swept_layers
from tests.conftest import Asked
from tests.eval.reports.test_evaluation import ABOUT

QUESTIONS = demo_questions("calibration", 48)


def predicted(
    asked: Asked,
    questions: list[GoldQuestion],
    name: str = "test",
    strategies: tuple[str, ...] = (*ALL, CONTROLS),
    scorer: str = "squad",
) -> list[Record]:
    async def go(corrector: Corrector) -> list[Record]:
        records, seconds = await Predictor(corrector, SCORERS[scorer], strategies).predict(name, questions)
        assert set(seconds) == {s for record in records for s in record["strategies"]}
        return records

    return asked(go)


@pytest.fixture(scope="module")
def records(asked: Asked) -> list[Record]:
    return predicted(asked, QUESTIONS)


def test_an_oracle_is_at_least_as_good_as_what_it_chooses_among(records: list[Record]) -> None:
    for record in records:
        said = record["strategies"]
        assert tuple(said) == ALL
        assert said["identity_oracle"]["right"] == ("1" in record["cells"])
        assert said["oracle"]["right"] >= max(said[name]["right"] for name in ALL)
    columns = Columns.of(records)
    assert columns.column("identity_oracle").right.sum() >= columns.column("patched").right.sum()


def test_a_prediction_says_the_same_whatever_its_batch(asked: Asked, records: list[Record]) -> None:
    again = predicted(asked, QUESTIONS[:5])
    assert [r["strategies"] for r in again] == [r["strategies"] for r in records[:5]]
    assert all("timings_ms" not in record["deployed"] for record in records)


def test_direct_is_always_asked_and_nothing_that_was_not_wanted(asked: Asked) -> None:
    (record,) = predicted(asked, QUESTIONS[:1], strategies=("two_step",))
    assert tuple(record["strategies"]) == ("direct", "two_step")
    assert "deployed" not in record
    with pytest.raises(InvalidInput, match="unknown strategy 'guess'"):
        Predictor(None, strategies=("guess",))  # type: ignore[arg-type]


def test_any_wording_counts(asked: Asked) -> None:
    """A wording that the model cannot answer before one that it can."""
    question = replace(
        QUESTIONS[0],
        question="What?",
        direct=None,
        paraphrases=(f"{QUESTIONS[0].hop2}".replace("{}", QUESTIONS[0].bridge),),
    )
    (record,) = predicted(asked, [question], strategies=("direct",))
    assert record["strategies"]["direct"]["right"]
    assert len(record["strategies"]["direct"]["texts"]) == 2


def test_questions_without_hops_are_read_and_have_nothing_to_patch(asked: Asked) -> None:
    bare = [replace(q, hop1="", hop2="") for q in QUESTIONS[:6]]
    for record in predicted(asked, bare):
        assert "cells" not in record
        assert not record["known"]
        assert record["strategies"]["identity_oracle"]["right"] == record["strategies"]["direct"]["right"]


def test_longer_chains_are_not_patched_by_the_grid(asked: Asked) -> None:
    for record in predicted(asked, demo_suite()["chains"][:4]):
        assert "cells" not in record


def test_the_keep_set_is_what_direct_has_right(asked: Asked) -> None:
    kept = predicted(asked, demo_questions("train", 12), "keep", ("direct", "deployed"))
    assert kept
    assert all(record["strategies"]["direct"]["right"] for record in kept)


def test_the_uncertain_set_is_chosen_by_the_bridge(asked: Asked) -> None:
    candidates = demo_suite()["uncertain"][:64]
    chosen = predicted(asked, candidates, "uncertain", ("two_step", "deployed"))
    assert 0 < len(chosen) < len(candidates)


def test_a_failed_question_is_wrong_and_says_why(asked: Asked) -> None:
    long = replace(QUESTIONS[0], question="word " * 400, direct=None, hop1="word " * 400, hop2="{} is")
    (record,) = predicted(asked, [long], strategies=("direct", "deployed"))
    assert record["strategies"]["direct"] == {
        "text": "", "right": False, "f1": 0.0, "error": record["strategies"]["direct"]["error"]
    }  # fmt: skip
    assert "error" in record["deployed"]


def test_what_the_oracles_find_is_what_decoding_every_cell_finds(asked: Asked, records: list[Record]) -> None:
    """Also by a rule that takes an answer anywhere in the text, for which no cell can be left out."""

    async def everything(corrector: Corrector) -> list[Texts]:
        mappings = ("identity", "norm_matched", "vocabulary")
        grids = [await sweep(corrector, QUESTIONS, oracle_grid(6, mapping)) for mapping in mappings]
        return [*grids, await back_sweep(corrector, QUESTIONS)]

    grids = asked(everything)
    for scorer, given in (("squad", records), ("contains", predicted(asked, QUESTIONS, scorer="contains"))):
        for index, (record, question) in enumerate(zip(given, QUESTIONS, strict=True)):
            said = [[texts[index] for texts in grid.values()] for grid in grids]
            right = [[SCORERS[scorer].score([text], question).right for text in grid] for grid in said]
            assert record["cells"] == "".join("01"[mark] for mark in right[0])
            others = [told["right"] for name, told in record["strategies"].items() if "oracle" not in name]
            assert record["strategies"]["identity_oracle"]["right"] == any(right[0])
            assert record["strategies"]["oracle"]["right"] == any([*others, *(mark for grid in right for mark in grid)])


@pytest.fixture(scope="module")
def deep(demo: LoadedModel) -> Asked:
    """A random model of 14 layers, without a profile, which reads and writes as the demo model does."""
    config = LlamaConfig(
        vocab_size=demo.shape.vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=14,
        num_attention_heads=4,
        max_position_embeddings=256,
        eos_token_id=demo.tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    return Asked(LoadedModel("deep", demo.folder, model, demo.tokenizer, Blocks.of(model)))


def test_a_deep_models_oracles_try_some_layers_and_the_report_says_which(deep: Asked, tmp_path: Path) -> None:
    """The gold is what a cell says, so that there is something to find."""
    sources, targets = swept_layers(14)

    async def said(corrector: Corrector) -> Texts:
        return await sweep(corrector, QUESTIONS[:6], oracle_grid(14))

    texts = deep(said)
    lucky = next(choice for choice in texts if choice.source_layer > choice.target_layer > 0 and all(texts[choice]))
    questions = [replace(q, answer=text) for q, text in zip(QUESTIONS[:6], texts[lucky], strict=True)]

    async def go(corrector: Corrector) -> tuple[list[Record], dict[str, Any]]:
        with Run(tmp_path / "run", {"of": "test"}) as run:
            await run.extend("test", questions, Predictor(corrector).predict, lambda count: None)
            return [*run.predictions()], {**ABOUT, **results_of(run)}

    records, results = deep(go)
    for index, record in enumerate(records):
        assert record["layers"] == [[*sources], [*targets]]
        right = [SCORERS["squad"].score([cell[index]], questions[index]).right for cell in texts.values()]
        assert record["cells"] == "".join("01"[mark] for mark in right)
        assert record["strategies"]["identity_oracle"]["right"]
        assert record["strategies"]["oracle"]["right"]
    grid = results["grid"]
    assert (grid["n"], grid["sources"], grid["targets"]) == (6, [*sources], [*targets])
    row, column = sources.index(lucky.source_layer), targets.index(lucky.target_layer)
    assert grid["accuracy"][row][column] == 1.0
    write(tmp_path, results)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Of the model's 14 layers 10 evenly spaced ones are tried as sources, and 10 as targets" in report
    assert "with 100.0%, found with the answers in hand" in report
