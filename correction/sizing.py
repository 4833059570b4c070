"""A model's size from its config.json alone: built on the meta device, where nothing has memory, and run there once.

So parameters and keys and values are counted on the real modules, whatever an architecture calls its heads. What is
left of a device for each engine is arithmetic: activations and what the allocator wastes come off it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from correction.architecture import Blocks
from correction.engines.vllm.local import CPU_CACHE, SHARE_ALONE, SHARE_BESIDE
from correction.errors import UnsupportedModel
from correction.machine import machine_memory
from correction.models import open_config
from correction.precision import DTYPES, resolve_dtype
from correction.skeleton import context_of, skeleton
from correction.supported import INSPECTED, TESTED


@dataclass(frozen=True)
class Room:
    """What an engine needs of a device's memory, in bytes. left: for keys and values; negative where it does not fit.

    tokens: how many they are, None where a token's are not known. `left` is vLLM's share where vLLM runs.
    """

    copies: int
    weights: int
    left: int
    tokens: int | None


@dataclass(frozen=True)
class ModelSize:
    """Bytes are of `dtype`. key_values: bytes a token in all blocks together, None where they cannot be counted.

    files: bytes of the folder's safetensors or, where `gguf`, of the file; None for a hub id. trouble: why the parts
    were not found.
    """

    name: str
    architecture: str
    tested: bool
    inspected: bool
    trouble: str | None
    layers: int | None
    width: int
    vocabulary: int
    parameters: int
    context: int
    dtype: str
    quantized: bool
    weights: int
    key_values: int | None
    files: int | None
    gguf: bool

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return DTYPES[self.dtype].itemsize

    @property
    def state(self) -> int:
        """Bytes of one hidden state."""
        return self.width * self.item

    @property
    def states(self) -> int | None:
        """Bytes of a token's states at every layer, 0 to L: what the layer grid and the lenses keep."""
        return None if self.layers is None else (self.layers + 1) * self.state

    def rooms(self, memory: int, *, on_cpu: bool) -> dict[str, Room]:
        """What each engine leaves of so many bytes, as `correction.loading` starts it without further arguments."""
        copies = {"hf": 1, "hf+vllm": 2, "vllm": 1}
        left = {engine: memory - count * self.weights for engine, count in copies.items()}
        if on_cpu:  # there vLLM's cache has a size, and does not grow into what is left
            left |= {engine: min(left[engine], CPU_CACHE) for engine in ("hf+vllm", "vllm")}
        else:
            left |= {"hf+vllm": int(SHARE_BESIDE * memory) - self.weights}
            left |= {"vllm": int(SHARE_ALONE * memory) - self.weights}
        return {
            engine: Room(
                copies[engine],
                copies[engine] * self.weights,
                rest,
                max(0, rest // self.key_values) if self.key_values else None,
            )
            for engine, rest in left.items()
        }


def size_of(name: str, dtype: str = "auto") -> ModelSize:
    """Of a folder in which config.json is enough, a hub id (of which config.json is fetched), a GGUF file (which is
    fetched but not unpacked), `smollm2` or `demo`.

    Raises `ModelNotFound`, `HubError`, `UnsupportedModel` if it is no language model, or `InvalidInput` for an unknown
    dtype.
    """
    resolve_dtype(dtype)
    path, config = open_config(name, unpack=False)
    kept = getattr(config, "dtype", None) if dtype == "auto" else resolve_dtype(dtype)
    stored = kept if isinstance(kept, torch.dtype) and kept in DTYPES.values() else torch.float32
    model = skeleton(name, config, torch.bfloat16)
    trouble, layers = None, None
    try:
        layers = Blocks.of(model).depth
    except UnsupportedModel as error:
        trouble = str(error)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    vocabulary, width = model.get_input_embeddings().weight.shape
    numbers = _key_values(model, config)
    return ModelSize(
        name=name,
        architecture=config.model_type,
        tested=config.model_type in TESTED,
        inspected=config.model_type in INSPECTED,
        trouble=trouble,
        layers=layers,
        width=width,
        vocabulary=vocabulary,
        parameters=parameters,
        context=context_of(config),
        dtype=next(name for name, kind in DTYPES.items() if kind is stored),
        quantized=getattr(config, "quantization_config", None) is not None,
        weights=parameters * stored.itemsize,
        key_values=None if numbers is None else numbers * stored.itemsize,
        files=_bytes(Path(path)),
        gguf=Path(path).is_file(),
    )


def _bytes(path: Path) -> int | None:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else None


def _key_values(model: PreTrainedModel, config: PreTrainedConfig) -> int | None:
    """How many numbers the cache holds for a token, seen on the meta device, where masks cannot be looked into.

    In bfloat16, the one type that the grouped products of experts have there.
    """
    if config.is_encoder_decoder or config.model_type in INSPECTED:
        return None
    token = torch.zeros(1, 1, dtype=torch.long, device="meta")
    cache = DynamicCache()
    try:
        with torch.no_grad():
            model(input_ids=token, past_key_values=cache, use_cache=True)
        return sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers) or None
    except Exception:  # whatever an unknown architecture does on a device without numbers
        return None


def memory_here() -> tuple[int, bool]:
    """Bytes of the first GPU, or of the machine where there is none, and whether it is the machine's."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory), False
    return machine_memory(), True
