"""What a GGUF file says of itself, and a plain word about one that is no GGUF, is cut off, or cannot be taken over."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from correction.errors import ModelNotFound, UnsupportedModel

NEEDED = {  # modules by what brings them
    "gguf": "gguf",
    "accelerate": "accelerate",
    "transformers.integrations.gguf": "transformers 5.19",  # earlier ones lose spaces and special tokens of some files
}
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Contents:
    """metadata: its values by key. tensors: their names. dtype: what its weights are kept in once they are unpacked."""

    file: Path
    architecture: str
    metadata: dict[str, Any]
    tensors: tuple[str, ...]
    dtype: torch.dtype


def read(file: Path, name: str) -> Contents:
    """The file, of which no weight but one of each kind is unpacked. `name` is what the model was asked for by.

    Raises `ModelNotFound` for what is no whole GGUF file, and `UnsupportedModel` for a part of a split model, for
    numbers that cannot be unpacked, and where the packages to read it are missing.
    """
    if missing := [package for module, package in NEEDED.items() if find_spec(module) is None]:
        raise UnsupportedModel(
            f"reading {name!r} needs {' and '.join(missing)}",
            hint="pip install 'hopfix[gguf]'",
            param="model",
        )
    from gguf import GGUFReader

    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelNotFound(f"{name!r} is no GGUF file", hint="its first four bytes would be GGUF", param="model")
    try:
        reader = GGUFReader(file)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
        architecture = str(metadata["general.architecture"])
        kinds = {tensor.tensor_type.name: tensor for tensor in reader.tensors}
    except Exception as error:  # numpy's, struct's and the reader's own, at whatever byte they stumble
        if "GGMLQuantizationType" in str(error):
            raise _unknown_numbers(name, str(error)) from error
        raise ModelNotFound(
            f"{name!r} is a damaged GGUF file, or one that was cut off", hint="fetch it again", param="model"
        ) from error
    if (parts := int(metadata.get("split.count") or 1)) > 1:
        raise UnsupportedModel(
            f"{name!r} is one of {parts} parts of a model",
            hint="join them with llama.cpp's 'llama-gguf-split --merge', and give the whole file",
            param="model",
        )
    for kind, tensor in kinds.items():
        _try(tensor, kind, name)
    tensors = tuple(tensor.name for tensor in reader.tensors)
    return Contents(file, architecture, metadata, tensors, _kept_in(set(kinds)))


def _kept_in(kinds: set[str]) -> torch.dtype:
    """What was not quantized stays as it is. Of 8 bits and fewer bfloat16 loses next to nothing (docs/decisions.md)."""
    if not kinds <= set(PLAIN) or "BF16" in kinds:
        return torch.bfloat16
    return torch.float16 if "F16" in kinds else torch.float32


def _try(tensor: Any, kind: str, name: str) -> None:
    from gguf import dequantize

    try:
        dequantize(tensor.data.reshape(-1, tensor.data.shape[-1])[:1], tensor.tensor_type)
    except NotImplementedError as error:
        raise _unknown_numbers(name, kind) from error


def _unknown_numbers(name: str, kind: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{name!r} has weights in {kind}, which cannot be unpacked",
        hint="take the same model in another quantization, such as Q8_0 or Q4_K_M",
        param="model",
    )
