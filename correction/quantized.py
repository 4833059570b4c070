"""Checkpoints that are quantized already (AWQ, GPTQ, bitsandbytes, FP8 and others), by `quantization_config`.

transformers loads them with the package of their method, some on a GPU alone. It is asked whether it can before weights
are read, which may take minutes.
"""

from __future__ import annotations

import warnings

import torch
from transformers import PreTrainedConfig
from transformers.quantizers import AutoHfQuantizer

from correction.errors import UnsupportedModel


def method_of(config: PreTrainedConfig) -> str | None:
    """How the checkpoint was quantized, None if it was not."""
    given = getattr(config, "quantization_config", None)
    if given is None:
        return None
    fields = given if isinstance(given, dict) else given.to_dict()
    method = fields.get("quant_method") or ("bitsandbytes" if _by_bitsandbytes(fields) else "an unnamed method")
    return str(getattr(method, "value", method))


def _by_bitsandbytes(fields: dict[str, object]) -> bool:
    return bool(fields.get("load_in_4bit") or fields.get("load_in_8bit"))


def check_quantization(name: str, config: PreTrainedConfig, device: torch.device | None) -> None:
    """Raises `UnsupportedModel` where the package or the GPU is missing that a quantized checkpoint needs.

    device: None where it is spread over all GPUs.
    """
    if (method := method_of(config)) is None:
        return
    place = "auto" if device is None else {"": device}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantizer = AutoHfQuantizer.from_config(config.quantization_config, pre_quantized=True)
            quantizer.validate_environment(device_map=place)
    except (ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnsupportedModel(
            f"{name!r} is quantized by {method}, which does not work here ({said})",
            hint="install what it needs, or give the model as it was before it was quantized, or a GGUF file of it",
            param="model",
        ) from error
