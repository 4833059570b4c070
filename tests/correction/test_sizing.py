"""What `hopfix models MODEL` says against the real thing: parameters, weight files and caches of every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, DynamicCache, PreTrainedModel, ViTConfig

from correction.errors import ModelNotFound, UnsupportedModel
from correction.models import LoadedModel, load_model
from correction.sizing import size_of
from correction.supported import INSPECTED, TESTED
from tests.architectures import CONFIGS, UNUSUAL

LLAMA_8B = Path(__file__).parent.parent / "data" / "llama-3.1-8b"  # the published values, from the model's config.json


def safetensors_bytes(folder: Path) -> int:
    """Of the numbers alone: a file begins with its header's length in 8 bytes, and the header."""
    files = [file.read_bytes() for file in folder.glob("*.safetensors")]
    assert files
    return sum(len(content) - 8 - int.from_bytes(content[:8], "little") for content in files)


def test_the_documented_architectures_are_the_tested_ones() -> None:
    assert set(TESTED) == {config.model_type for config in CONFIGS.values()}
    assert set(INSPECTED) == {config.model_type for config in UNUSUAL.values()}


def test_a_decoder_is_as_large_as_said(random_model: PreTrainedModel, tmp_path: Path) -> None:
    random_model.save_pretrained(tmp_path)
    size = size_of(str(tmp_path), "float32")
    assert size.tested
    assert size.trouble is None
    assert size.parameters == sum(parameter.numel() for parameter in random_model.parameters())
    assert size.weights == safetensors_bytes(tmp_path)
    cache = DynamicCache()
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        random_model(input_ids=tokens, past_key_values=cache, use_cache=True)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    assert size.key_values is not None
    assert size.key_values * tokens.shape[1] == sum(k.nbytes + v.nbytes for k, v in layers)


def test_what_is_inspected_is_as_large_as_said(unusual_model: PreTrainedModel, tmp_path: Path) -> None:
    unusual_model.save_pretrained(tmp_path)
    size = size_of(str(tmp_path), "float32")
    assert (size.inspected, size.tested, size.key_values) == (True, False, None)
    assert size.weights == safetensors_bytes(tmp_path)


def test_the_demo_model(demo: LoadedModel) -> None:
    size = size_of("demo")
    assert (size.layers, size.width, size.vocabulary) == (
        demo.shape.depth, demo.shape.width, demo.shape.vocabulary,
    )  # fmt: skip
    assert (size.context, size.dtype) == (demo.context, "float32")
    assert size.weights == safetensors_bytes(demo.folder)
    assert size_of("demo", "bfloat16").weights * 2 == size.weights


def test_eight_billion_parameters_from_a_config_alone() -> None:
    """Published: 8.03 B parameters in bfloat16, and 8 KV heads of 128 numbers in each of 32 layers."""
    size = size_of(str(LLAMA_8B))
    assert size.parameters == 8_030_261_248
    assert size.weights == 2 * size.parameters
    assert size.key_values == 32 * 2 * 8 * 128 * 2
    assert size.states == 33 * 4096 * 2
    assert size.files == 0
    memory = 24 << 30
    rooms = size.rooms(memory, on_cpu=False)
    assert rooms["hf"].left == memory - size.weights
    assert rooms["hf+vllm"].left < 0  # two copies are too much
    assert rooms["vllm"].tokens == int(0.9 * memory - size.weights) // size.key_values


def test_on_a_cpu_the_cache_of_vllm_has_a_size() -> None:
    rooms = size_of("demo").rooms(8 << 30, on_cpu=True)
    assert rooms["vllm"].left == rooms["hf+vllm"].left == 1 << 30


def test_blocks_that_are_not_found_are_said(tmp_path: Path) -> None:
    BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, is_decoder=True
    ).save_pretrained(tmp_path)
    size = size_of(str(tmp_path))
    assert size.trouble is not None
    assert "cannot find the parts" in size.trouble
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        size_of(str(tmp_path / "nothing"))


def test_what_predicts_no_words_is_no_model(tmp_path: Path) -> None:
    ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="is a vit, which is no language model"):
        size_of(str(tmp_path))


def test_the_weights_are_never_read(tmp_path: Path, demo: LoadedModel) -> None:
    (tmp_path / "config.json").write_bytes((demo.folder / "config.json").read_bytes())
    assert size_of(str(tmp_path)).parameters == size_of("demo").parameters
    with pytest.raises(ModelNotFound):
        load_model(str(tmp_path))
