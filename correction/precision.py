"""The numbers that a model computes in: by name, and where nobody names them.

Then they are those it was saved in, but on a CPU those that are fast there: bfloat16 where the processor has
instructions for it, float32 where it has none, and float16 never, in which prompts take several times as long
(docs/decisions.md).
"""

from __future__ import annotations

import logging

import torch
from transformers import PreTrainedConfig

from correction.errors import InvalidInput

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HALF = (torch.bfloat16, torch.float16)
log = logging.getLogger(__name__)


def resolve_dtype(dtype: str) -> torch.dtype | str:
    """`auto` is what the model was saved in, on a CPU as `automatic` has it; raises `InvalidInput` for another word."""
    if dtype == "auto":
        return "auto"
    if dtype not in DTYPES:
        raise InvalidInput(f"unknown dtype {dtype!r}", hint=f"choose auto, {', '.join(DTYPES)}", param="dtype")
    return DTYPES[dtype]


def automatic(config: PreTrainedConfig, device: torch.device) -> torch.dtype | str:
    """What `dtype=auto` means for a model that says that it was saved in half precision, on a CPU; else "auto".

    A quantized checkpoint stays as it is: its method has its own rules.
    """
    saved = getattr(config, "dtype", None)
    if device.type != "cpu" or saved not in HALF or getattr(config, "quantization_config", None) is not None:
        return "auto"
    native = bfloat16_is_native()
    chosen = torch.bfloat16 if native else torch.float32
    log.info(
        "computing in %s: the model was saved in %s, and this processor has %s instructions for bfloat16",
        str(chosen).removeprefix("torch."),
        str(saved).removeprefix("torch."),
        "its own" if native else "no",
    )
    return chosen


def bfloat16_is_native() -> bool:
    """Whether the processor has instructions for bfloat16: oneDNN calls it supported wherever it can emulate it."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):  # before torch 2.11, or no processor that it knows
        return False
    return any(there for name, there in capabilities.items() if name.endswith("bf16"))
