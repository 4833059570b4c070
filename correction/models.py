"""Loading a Hugging Face causal language model with its tokenizer, and the fingerprint that ties a profile to it."""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from correction.architecture import Blocks
from correction.errors import InvalidInput, ModelNotFound, UnsupportedModel
from correction.gguf import gguf_config, gguf_folder
from correction.named import SMOLLM2, gguf_file
from correction.passes import ModelShape, Sampling
from correction.precision import automatic, resolve_dtype
from correction.quantized import check_quantization, method_of
from correction.skeleton import context_of, makes_no_model, model_kind, skeleton

DEMO = "demo"
_NEEDED = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]  # of a hub repository, for another process
LARGE = 1 << 28  # bytes of weights, which are read in about a second


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready for the custom forward. `name` is what it was asked for by, `folder` where its files are."""

    name: str
    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    parts: Blocks

    @cached_property
    def context(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return context_of(self.model.config)

    @cached_property
    def shape(self) -> ModelShape:
        """What passes are checked against."""
        vocabulary, width = self.model.get_input_embeddings().weight.shape
        return ModelShape(self.parts.depth, width, vocabulary)

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end a sequence: what stops plain generation. May be empty."""
        return end_tokens(self.tokenizer, self.model.generation_config)

    @cached_property
    def stop_tokens(self) -> frozenset[int]:
        """The one stop rule of every strategy: end of sequence, or a token that breaks the line."""
        return stop_tokens(self.tokenizer, self.model.generation_config)

    def stops(self, sampling: Sampling) -> frozenset[int]:
        """Ids that end a pass with this sampling, on every engine."""
        return self.stop_tokens if sampling.lines else self.end_tokens

    @property
    def pad_token(self) -> int:
        """Any valid id: padded positions are masked."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if isinstance(pad, int) else min(self.stop_tokens)

    def decode(self, tokens: list[int] | tuple[int, ...]) -> str:
        """The tokens as text, without special tokens and outer spaces."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens as text as it is, without special tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @cached_property
    def continuation(self) -> Callable[[int], str]:
        """What a token adds to a text that it continues, its leading space included."""
        before = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        length = len(self.text(before))
        return lru_cache(maxsize=1 << 16)(lambda token: self.text([*before, token])[length:])

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the weights change."""
        return fingerprint(self.folder)


def end_tokens(tokenizer: PreTrainedTokenizerBase, generation_config: object = None) -> frozenset[int]:
    """Ids of the end of sequence, of which a chat model can have several."""
    found: set[int] = set()
    for end in (tokenizer.eos_token_id, getattr(generation_config, "eos_token_id", None)):
        found.update(end if isinstance(end, list) else [end] if isinstance(end, int) else [])
    return frozenset(found)


def stop_tokens(tokenizer: PreTrainedTokenizerBase, generation_config: object = None) -> frozenset[int]:
    """Ids that end an answer: those of the end of sequence and every token whose text breaks the line."""
    stop = set(end_tokens(tokenizer, generation_config))
    pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    stop.update(token for token, piece in enumerate(pieces) if "\n" in piece)
    if not stop:
        raise UnsupportedModel("the tokenizer has neither an end of sequence nor a line break", hint="set eos_token")
    return frozenset(stop)


def demo_folder() -> Path:
    """The folder of the bundled demo model."""
    return Path(str(resources.files("correction") / "demo" / "model"))


def demo_profile_folder() -> Path:
    """The folder of the bundled demo model's profile."""
    return Path(str(resources.files("correction") / "demo" / "profile"))


def bundled_profile_folder(model: str) -> Path | None:
    """The folder of the profile that comes with hopfix for a model of this name, None if there is none."""
    if model == DEMO:
        return demo_profile_folder()
    folder = Path(str(resources.files("correction") / "profiles" / model))
    return folder if model == SMOLLM2 and folder.is_dir() else None


def resolve_device(device: str) -> torch.device:
    """`auto` is the first GPU or else the CPU; raises `InvalidInput` for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(
            f"no such device: {device!r}", hint=f"use cpu, cuda, cuda:N or auto ({reason})", param="device"
        ) from error
    if resolved.type == "meta":
        raise InvalidInput("the device 'meta' holds no weights", hint="use cpu, cuda, cuda:N or auto", param="device")
    return resolved


def load_model(
    name: str = DEMO,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    weights: bool = True,
) -> LoadedModel:
    """Loads a folder, a hub id, a GGUF file of either, `smollm2`, or the bundled model (`demo`).

    The device `balanced` is all GPUs together. A GGUF file is unpacked once, into a folder that is kept
    (`correction.gguf`), and is that folder from then on. Without `weights` the model's parts are on the meta device and
    take no memory: enough to ask another process that has the weights, which `device` then says nothing about.

    Raises `ModelNotFound`, `HubError`, `UnsupportedModel` (no language model, no fast tokenizer, no block stack, a
    package is missing) or `InvalidInput` (device, dtype).
    """
    spread = _spread(device)
    torch_dtype = resolve_dtype(dtype)
    place = None if spread else resolve_device(device)  # said before seconds are spent on files
    path, config = open_config(name, trust_remote_code=trust_remote_code)
    if place and torch_dtype == "auto":
        torch_dtype = automatic(config, place)
    if weights:
        check_quantization(name, config, place)
        if place and method_of(config):  # such weights cannot be moved once they are loaded
            spread = {"device_map": {"": place}}
    config_file = cached_file(path, "config.json")
    _show_progress(Path(str(config_file)).parent)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"cannot load the tokenizer of {name!r}", hint=_first_line(error), param="model") from error
    if not tokenizer.is_fast:
        raise UnsupportedModel(f"{name!r} has no fast tokenizer", hint="a tokenizer.json gives the character offsets")
    if not weights:
        kept = torch_dtype if isinstance(torch_dtype, torch.dtype) else getattr(config, "dtype", None) or torch.float32
        empty = skeleton(name, config, kept, trust_remote_code=trust_remote_code)
        with suppress(OSError):  # a model need not have the file
            empty.generation_config = GenerationConfig.from_pretrained(path)
        folder = path if Path(path).is_dir() else snapshot_download(path, allow_patterns=_NEEDED)
        return LoadedModel(name, Path(folder), empty, tokenizer, Blocks.of(empty))
    try:
        model, found = model_kind(config).from_pretrained(
            path,
            output_loading_info=True,
            config=config,
            dtype=torch_dtype,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,  # the other kind of weights is a pickle
            **spread,
            **_attention(config),
        )
    except Exception as error:
        skeleton(name, config, torch.float32, trust_remote_code=trust_remote_code)  # raises if the config is to blame
        if not isinstance(error, OSError | ValueError) and "mismatched_sizes" not in str(error):
            raise
        raise ModelNotFound(f"cannot load the weights of {name!r}", hint=_first_line(error), param="model") from error
    if missing := sorted(found["missing_keys"]):  # transformers warns and takes random ones
        raise ModelNotFound(
            f"{len(missing)} weights of {name!r} are missing, {missing[0]} for one",
            hint="give a folder whose weights are of the model in its config.json, and complete",
            param="model",
        )
    model = model.eval() if spread else model.to(place).eval()
    return LoadedModel(name, Path(str(config_file)).parent, model, tokenizer, Blocks.of(model))


def open_config(name: str, *, trust_remote_code: bool = False, unpack: bool = True) -> tuple[str, PreTrainedConfig]:
    """Where the model of a name is, a folder or a hub id, and its configuration: every name is looked up here.

    For a GGUF file it is the folder that is made of it; without `unpack` it is the file. Raises `ModelNotFound`,
    `HubError` or `UnsupportedModel`.
    """
    if file := gguf_file(name):
        if not unpack:
            return str(file), gguf_config(file, name)
        path = str(gguf_folder(file, name))
    else:
        path = str(demo_folder()) if name == DEMO else name
    hint = "give a folder with config.json, a .gguf file, or a Hugging Face model id that can be reached"
    if path.startswith((".", "/", "~")) and not Path(path).is_dir():  # which the hub's client would take for an id
        raise ModelNotFound(f"cannot load the model {name!r} (there is no such folder)", hint=hint, param="model")
    try:
        return path, AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"cannot load the model {name!r}", hint=f"{hint} ({_first_line(error)})", param="model"
        ) from error
    except (StrictDataclassError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise makes_no_model(name, error) from error


def _show_progress(folder: Path) -> None:
    """Transformers' bar, on a terminal, for weights that take a while; those not yet in the cache may be such."""
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if sys.stderr.isatty() and not 0 < size < LARGE:
        transformers_logging.enable_progress_bar()
    else:
        transformers_logging.disable_progress_bar()


def _attention(config: Any) -> dict[str, str]:
    """Transformers' other attention functions leave the cap on attention logits out (Gemma 2)."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def _spread(device: str) -> dict[str, Any]:
    """`balanced` puts the blocks on all GPUs in turn, which is accelerate's work."""
    if device != "balanced":
        return {}
    if find_spec("accelerate") is None:
        raise InvalidInput(
            "spreading a model over GPUs needs accelerate", hint="pip install accelerate", param="device"
        )
    return {"device_map": "balanced"}


def fingerprint(folder: Path, blocks: int = 64, size: int = 4096) -> str:
    """SHA-256 over each weight file's header and evenly spaced blocks of its bytes: fast for any size of model.

    It is independent of the dtype and device a model is loaded with. A change confined to bytes between the blocks
    of a file larger than `blocks * size` could go unseen; retraining or fine-tuning changes nearly all of them.
    """
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelNotFound(f"no weights in {folder}", hint="expected *.safetensors")
    for file in files:
        length = file.stat().st_size
        digest.update(f"{file.name} {length}\n".encode())
        with file.open("rb") as stream:
            (header,) = struct.unpack("<Q", stream.read(8))
            digest.update(stream.read(min(header, 1 << 26)))
            step = max(size, length // blocks)
            for start in range(0, length, step):
                stream.seek(start)
                digest.update(stream.read(size))
    return f"sha256:{digest.hexdigest()}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
