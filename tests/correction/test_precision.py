"""What `dtype=auto` means: what the model was saved in, on a CPU as long as that is fast there."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from correction import precision
from correction.models import LoadedModel, load_model
from correction.precision import automatic

CPU, GPU = torch.device("cpu"), torch.device("cuda")
HALF = [torch.bfloat16, torch.float16]


def saved_in(dtype: torch.dtype, **more: object) -> LlamaConfig:
    return LlamaConfig(dtype=dtype, **more)


def with_instructions(monkeypatch: pytest.MonkeyPatch, **there: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "l2_cache_size": 1 << 20, **there})


@pytest.mark.parametrize("saved", HALF)
@pytest.mark.parametrize(
    ("there", "computed"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_half_precision_on_a_cpu_is_what_it_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    saved: torch.dtype,
    there: dict[str, bool],
    computed: torch.dtype,
) -> None:
    with_instructions(monkeypatch, **there)
    with caplog.at_level(logging.INFO):
        assert automatic(saved_in(saved), CPU) == computed
    assert f"computing in {str(computed).removeprefix('torch.')}: the model was saved in" in caplog.text


def test_a_torch_that_does_not_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert automatic(saved_in(torch.bfloat16), CPU) == torch.float32


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (saved_in(torch.float32), CPU),
        (saved_in(torch.float16), GPU),
        (saved_in(torch.bfloat16, quantization_config={"quant_method": "fp8"}), CPU),
        (LlamaConfig(), CPU),
    ],
)
def test_all_else_is_what_it_was_saved_in(
    monkeypatch: pytest.MonkeyPatch, config: LlamaConfig, place: torch.device
) -> None:
    with_instructions(monkeypatch, avx512_bf16=False)
    assert automatic(config, place) == "auto"


def test_the_bundled_model_stays_in_float32() -> None:
    assert load_model("demo", device="cpu").model.dtype == torch.float32


def test_a_model_saved_in_half_precision(tmp_path: Path, demo: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model("demo", device="cpu", dtype="bfloat16").model.save_pretrained(tmp_path)
    demo.tokenizer.save_pretrained(tmp_path)
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "bfloat16_is_native", lambda native=native: native)
        assert load_model(str(tmp_path), device="cpu").model.dtype == expected
    assert load_model(str(tmp_path), device="cpu", dtype="float16").model.dtype == torch.float16
