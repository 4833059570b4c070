"""Loading: what cannot be loaded is named, and a fingerprint changes with the weights."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from correction import models
from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.errors import HopfixError, InvalidInput, ModelNotFound, UnsupportedModel
from correction.models import LoadedModel, demo_folder, fingerprint, load_model
from correction.passes import Sampling
from correction.sizing import size_of
from tests.architectures import random_weights


def test_the_bundled_model_is_small_and_safe() -> None:
    files = list(demo_folder().iterdir())
    assert sum(file.stat().st_size for file in files) <= 12_000_000
    assert any(file.suffix == ".safetensors" for file in files)
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl", ".py")]


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"name": "/nowhere/at/all"}, ModelNotFound, "give a folder with config.json"),
        ({"device": "cuda:99"}, InvalidInput, "no such device: 'cuda:99'"),
        ({"device": "toaster"}, InvalidInput, "use cpu, cuda"),
        ({"device": "meta"}, InvalidInput, "holds no weights"),
        ({"dtype": "int3"}, InvalidInput, "choose auto, float32"),
    ],
)
def test_what_cannot_be_loaded_is_named(kwargs: dict[str, str], error: type[HopfixError], says: str) -> None:
    with pytest.raises(error, match=says):
        load_model(**kwargs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_attention_heads": 5, "hidden_size": 64}, "is not a multiple of the number of attention heads"),
        ({"hidden_size": "x"}, "expected int, got str"),
        ({"hidden_size": 0, "head_dim": None}, "ZeroDivisionError"),
        ({"hidden_size": -64}, "negative dimension"),
        ({"dtype": "floaty"}, "floaty"),
    ],
)
def test_a_config_that_makes_no_model_is_said(tmp_path: Path, change: dict[str, object], says: str) -> None:
    """To whoever asks for its size, loads it, or has another process load it."""
    shutil.copytree(demo_folder(), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    for ask in (size_of, load_model, partial(load_model, weights=False)):
        with pytest.raises(
            UnsupportedModel, match=rf"config\.json of '{tmp_path}' makes no model .*{says}.*correct it"
        ):
            ask(str(tmp_path))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    shutil.copytree(demo_folder(), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(ModelNotFound, match="cannot load the weights"):
        load_model(str(tmp_path), device="cpu")


def test_an_encoder_decoder_is_inspected_not_corrected(tmp_path: Path, demo: LoadedModel) -> None:
    random_weights("t5").save_pretrained(tmp_path)
    demo.tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), device="cpu")
    assert loaded.parts.depth == 3
    with pytest.raises(UnsupportedModel, match="its states can be inspected, its answers not corrected"):
        Corrector(loaded, HFEngine(loaded))


def test_spreading_over_gpus_needs_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match="pip install accelerate"):
        load_model(device="balanced")


def test_a_model_without_weights_is_refused(tmp_path: Path, demo: LoadedModel) -> None:
    demo.model.config.save_pretrained(tmp_path)
    demo.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelNotFound, match="weights"):
        load_model(str(tmp_path))


def test_a_model_with_a_weight_too_few_is_refused(tmp_path: Path) -> None:
    """transformers would make one up, and say so in a warning."""
    shutil.copytree(demo_folder(), tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelNotFound, match=r"^1 weights of .* are missing, model\.layers\.2\.mlp\.up_proj\.weight"):
        load_model(str(tmp_path))


def test_the_fingerprint_is_of_the_weights(tmp_path: Path, demo: LoadedModel, other_model: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(demo_folder(), copied)
    (copied / "README.md").write_text("another card")
    assert fingerprint(copied) == demo.fingerprint
    assert fingerprint(other_model) != demo.fingerprint


def test_every_line_break_stops(demo: LoadedModel) -> None:
    pieces = {token: demo.tokenizer.decode([token]) for token in range(len(demo.tokenizer))}
    breaking = {token for token, piece in pieces.items() if "\n" in piece}
    assert breaking
    assert demo.stop_tokens == breaking | {demo.tokenizer.eos_token_id}
    assert demo.stops(Sampling()) == demo.stop_tokens


def test_plain_generation_goes_on_over_lines(demo: LoadedModel) -> None:
    assert demo.stops(Sampling(lines=False)) == demo.end_tokens == {demo.tokenizer.eos_token_id}


def test_without_weights_it_is_the_same_model_to_those_who_only_ask(demo: LoadedModel) -> None:
    skeleton = load_model("demo", weights=False)
    assert all(parameter.is_meta for parameter in skeleton.model.parameters())
    for name in ("context", "shape", "stop_tokens", "fingerprint", "folder"):
        assert getattr(skeleton, name) == getattr(demo, name)
    assert skeleton.model.dtype == demo.model.dtype
    assert load_model("demo", weights=False, dtype="bfloat16").model.dtype == torch.bfloat16
