"""What is counted, under which of a few labels, and when it is copied from others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from correction.answers import Answer, Fallback, Usage
from correction.profile import Profile
from service.metrics import REASONS, Metrics
from service.settings import Settings

STRATEGIES = "".join(
    path.read_text(encoding="utf-8")
    for path in (Path(__file__).parents[2] / "correction").rglob("*.py")
    if path.name in {"deployed.py", "corrector.py"}
)


def text_of(metrics: Metrics) -> str:
    return metrics.text().decode()


@pytest.mark.parametrize("words", sorted(REASONS))
def test_every_reason_that_has_a_label_is_one_that_is_given(words: str, demo_profile: Profile) -> None:
    calibrated = [replace(demo_profile, strategy=strategy).why_text for strategy in ("two_step", "direct")]
    nobody_measured = replace(demo_profile, evidence={}).why_text
    assert any(words in given for given in (STRATEGIES, *calibrated, nobody_measured))


@pytest.mark.parametrize(
    ("reason", "label", "outcome"),
    [
        ("the bridge has 9 tokens, calibrated were at most 4", "bridge_too_long", "fallback"),
        ("calibration found two_step no worse", "profile_says_two_step", "fallback"),
        ("calibration found direct no worse", "profile_says_direct", "fallback"),
        (
            "the model has no profile, so nobody has measured whether a patch helps it",
            "no_profile",
            "fallback",
        ),
        ("hop 1 did not end within 16 tokens", "bridge_did_not_end", "fallback"),
        ("the plain answer is the more confident one (0.90 against 0.20)", "plain_answer_surer", "kept"),
        ("anything else that a strategy may come to say", "other", "fallback"),
    ],
)
def test_a_fallbacks_reason_is_one_of_a_few_words(reason: str, label: str, outcome: str) -> None:
    metrics = Metrics()
    metrics.count(Answer("a", "direct", fallback=Fallback(reason, "hf", "direct")))
    text = text_of(metrics)
    assert f'hopfix_fallbacks_total{{reason="{label}"}} 1.0' in text
    assert f'hopfix_answers_total{{outcome="{outcome}",strategy="direct"}} 1.0' in text


def test_an_answers_stages_tokens_and_passes() -> None:
    metrics = Metrics()
    timings = {"hop1": 4.0, "hop2": 20.0, "total": 24.0}
    metrics.count(Answer("a", "deployed", corrected=True, usage=Usage(30, 5, 2), timings_ms=timings))
    text = text_of(metrics)
    for line in (
        'hopfix_stage_seconds_bucket{le="0.005",stage="hop1"} 1.0',
        'hopfix_stage_seconds_bucket{le="0.01",stage="hop2"} 0.0',
        'hopfix_stage_seconds_sum{stage="total"} 0.024',
        'hopfix_tokens_total{kind="prompt"} 30.0',
        'hopfix_tokens_total{kind="generated"} 5.0',
        "hopfix_passes_total 2.0",
    ):
        assert line in text


def test_what_the_engine_counts_is_copied_once() -> None:
    metrics = Metrics()
    engine = SimpleNamespace(trouble=None, restarts=1, standins=Counter(slow=2), batches=Counter({64: 3}))
    metrics.watch(lambda: engine, Settings.read(workers=3))  # type: ignore[arg-type,return-value]
    metrics.refresh()
    engine.restarts, engine.batches[1] = 2, 1
    text = text_of(metrics)
    for line in (
        "hopfix_workers 3.0",
        "hopfix_engine_restarts_total 2.0",
        'hopfix_standins_total{reason="slow"} 2.0',
        'hopfix_batch_rows_bucket{le="1.0"} 1.0',
        'hopfix_batch_rows_bucket{le="64.0"} 4.0',
        'hopfix_build_info{engine="hf",model="demo",version="',
    ):
        assert line in text
