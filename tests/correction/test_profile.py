"""Profiles: written whole, read strictly, and only for the model they were made for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from correction.errors import InvalidInput, InvalidMapping, InvalidProfile
from correction.forms import Example, Forms
from correction.mappings import FittedMapping, fit
from correction.models import LoadedModel, load_model
from correction.profile import Choice, Profile, check_choice

WEIGHTS = ("bias", "answer", "bridge", "first", "early", "rows")


def test_a_profile_survives_saving(tmp_path: Path, demo_profile: Profile) -> None:
    demo_profile.save(tmp_path)
    assert Profile.load(tmp_path) == demo_profile
    assert [file.name for file in tmp_path.iterdir()] == ["profile.json"]


def test_its_forms_and_examples_survive_too(tmp_path: Path, demo_profile: Profile) -> None:
    shown = (Example("The capital of Peru is", "What is the capital of Peru?", "Lima"),)
    formed = replace(demo_profile, forms=Forms("asked", "plain", "begun", "examples", "phrase", shown))
    formed.save(tmp_path)
    assert Profile.load(tmp_path) == formed


def test_the_bundled_profile_fits_the_bundled_model(demo: LoadedModel, demo_profile: Profile) -> None:
    demo_profile.check_model(demo)
    assert len(demo_profile.replay) == 20


def test_a_profile_for_another_model_is_refused_by_name(other_model: Path, demo_profile: Profile) -> None:
    with pytest.raises(InvalidProfile, match="made for the model 'demo'"):
        demo_profile.check_model(load_model(str(other_model)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 99}, "update hopfix"),
        ({"schema_version": 0}, "calibrate again"),
        ({"schema_version": 2}, "has schema version 2, this hopfix reads 3: calibrate again"),
        ({"forms": {"hop1": "poem"}}, "has prompts that this hopfix does not know: unknown form 'poem'"),
        ({"forms": {"target": "begun"}}, "names the bridge twice"),
        ({"forms": {"ends": "sentence"}}, "an answer cannot end at 'sentence'"),
        ({"forms": {"hop9": "plain"}}, "not a profile"),
        ({"forms": {"examples": 5}}, "not a profile"),
        ({"forms": {"examples": [{"question": "Why?"}]}}, "not a profile"),
        ({"forms": "plain"}, "not a profile"),
        ({"choice": {"source_layer": 1, "target_layer": 0, "mapping": "magic"}}, "'magic' is unknown"),
        ({"choice": {}}, "not a profile"),
        ({"surprise": 1}, "not a profile"),
        ({"strategy": "guess"}, "strategy 'guess' is unknown: known: deployed, two_step"),
        ({"thresholds": {"exit": "high"}}, "no number"),
        (
            {"confidence": {"routes": {"exit": dict(zip(WEIGHTS, [float("nan"), 1, 1, 1, 1, 9], strict=True))}}},
            "no number",
        ),
        ({"thresholds": {"enter": 1}}, "not a profile"),
        ({"evidence": ["none"]}, "evidence is no JSON object"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, demo_profile: Profile, change: dict[str, Any], says: str) -> None:
    demo_profile.save(tmp_path)
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidProfile, match=says):
        Profile.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"schema_version": 1}', "\x00"])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(InvalidProfile):
        Profile.load(tmp_path)


def test_an_unfinished_calibration_is_told_apart_from_none(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"key": {}}\n')
    with pytest.raises(InvalidProfile, match="was not finished: run it again, it goes on where it was"):
        Profile.load(tmp_path)


def test_a_fitted_mapping_goes_with_its_profile(tmp_path: Path, demo: LoadedModel, demo_profile: Profile) -> None:
    rows = torch.randn(400, 128, generator=torch.Generator().manual_seed(0))
    model = demo.fingerprint
    fitted = fit(
        "ridge", lambda: [(rows, rows)], source_model=model, target_model=model, source_layer=5, target_layer=2
    )
    profile = replace(demo_profile, mid_layer=Choice(5, 2, "fitted"), fitted=fitted)
    profile.save(tmp_path)
    loaded = Profile.load(tmp_path)
    loaded.check_model(demo)
    given = loaded.mapping(loaded.mid_layer)
    assert isinstance(given, FittedMapping)
    assert torch.equal(given.weight, fitted.weight)
    (tmp_path / "mapping.safetensors").unlink()
    with pytest.raises(InvalidMapping, match="no mapping file"):
        Profile.load(tmp_path)


def test_a_mapping_of_other_weights_is_refused(demo: LoadedModel, demo_profile: Profile) -> None:
    rows = torch.randn(400, 128, generator=torch.Generator().manual_seed(0))
    fitted = fit(
        "ridge", lambda: [(rows, rows)], source_model="other", target_model="other", source_layer=5, target_layer=2
    )
    profile = replace(demo_profile, mid_layer=Choice(5, 2, "fitted"), fitted=fitted)
    with pytest.raises(InvalidMapping, match="fitted"):
        profile.check_model(demo)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="calibrate"):
        Profile.load(tmp_path / "nothing")


@pytest.mark.parametrize(("source", "target"), [(0, 0), (7, 0), (1, 6), (1, -1)])
def test_layers_outside_the_grid_are_refused(source: int, target: int) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        check_choice(Choice(source, target, "identity"), depth=6)
