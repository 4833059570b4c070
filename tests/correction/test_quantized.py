"""Checkpoints that are quantized: what this machine cannot load is said at once, and what it can is loaded."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from correction.errors import UnsupportedModel
from correction.models import demo_folder, load_model


def quantized(folder: Path, **method: object) -> Path:
    """The bundled model's config that says so, and no weights: nothing is read of them."""
    shutil.copytree(demo_folder(), folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "gptqmodel"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "optimum"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed_tensors"),
    ],
)
def test_what_needs_another_package_says_so(tmp_path: Path, method: dict[str, object], package: str) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    name = method.get("quant_method", "bitsandbytes")
    says = (
        rf"is quantized by {name}, which does not work here \(.*{package.replace('_', '-')}.*\): install what it needs"
    )
    with pytest.raises(UnsupportedModel, match=says) as raised:
        load_model(str(quantized(tmp_path, **method)), device="cpu")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("method", [{"quant_method": "tomorrows"}, {"bits": 3}])
def test_a_method_that_nobody_knows(tmp_path: Path, method: dict[str, object]) -> None:
    with pytest.raises(UnsupportedModel, match=r"is quantized by .*, which does not work here"):
        load_model(str(quantized(tmp_path, **method)), device="cpu")


def test_whoever_has_another_process_load_it_is_not_held_up(tmp_path: Path) -> None:
    """vLLM has kernels of its own for such weights."""
    folder = quantized(tmp_path, quant_method="awq", bits=4, group_size=128)
    assert load_model(str(folder), weights=False).model.device.type == "meta"


@pytest.mark.filterwarnings("ignore")  # of transformers, that there is no GPU
def test_fp8_is_unpacked_where_there_is_no_gpu(tmp_path: Path) -> None:
    """One block a matrix, whose scale its numbers are multiplied by."""
    folder = quantized(tmp_path, quant_method="fp8", weight_block_size=[128, 128])
    weights = load_file(demo_folder() / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    stored = {}
    for key, weight in weights.items():
        if not key.startswith("model.layers") or weight.dim() == 1:
            stored[key] = weight.to(torch.bfloat16)
            continue
        rows, columns = (-(-size // 128) for size in weight.shape)
        stored[key] = (weight.float() / 0.01).to(torch.float8_e4m3fn)
        stored[f"{key}_scale_inv"] = torch.full((rows, columns), 0.01)
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    loaded = load_model(str(folder), device="cpu")
    unpacked = loaded.model.get_parameter(name).float()
    assert torch.allclose(unpacked, weights[name].float(), rtol=0.1, atol=0.01)
