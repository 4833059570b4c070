"""A GGUF file as a folder that every engine loads: unpacked once by transformers, and kept for the next start.

So the first start takes as long as unpacking does, and the second no longer than any folder's; and a profile's
fingerprint is that of the folder's weights.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path

import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from correction.errors import ModelNotFound, UnsupportedModel
from correction.gguf.contents import Contents, read
from correction.gguf.tokenizer import end_ids, mend
from correction.kept import kept
from correction.skeleton import model_kind, skeleton

VERSION = 1  # of what is made of a file: another one makes it again
HEAD, BLOCK, BLOCKS = 1 << 24, 1 << 16, 64  # bytes: the metadata, and samples of the weights
log = logging.getLogger(__name__)


def gguf_folder(file: Path, name: str) -> Path:
    """The folder that was made of the file, or is made of it now. `name` is what the model was asked for by.

    Raises `ModelNotFound` for what is no whole GGUF file or where nothing can be kept, `UnsupportedModel` for an
    architecture, numbers or a tokenizer that transformers cannot read, and `InvalidInput` for a wrong HOPFIX_CACHE_GB.
    """
    return kept(_key(file), lambda folder: _convert(read(file, name), name, folder))


def gguf_config(file: Path, name: str) -> PreTrainedConfig:
    """The configuration in the file, of which no weights are unpacked; raises as `gguf_folder`."""
    return _config(read(file, name), name)


def _key(file: Path) -> str:
    """By content, so that a file that was moved is the same model: metadata, size, and samples of the weights."""
    size = file.stat().st_size
    digest = hashlib.sha256(f"{VERSION} {size}".encode())
    with file.open("rb") as stream:
        digest.update(stream.read(HEAD))
        for start in range(HEAD, size, max(BLOCK, (size - HEAD) // BLOCKS)):
            stream.seek(start)
            digest.update(stream.read(BLOCK))
        stream.seek(max(0, size - BLOCK))
        digest.update(stream.read(BLOCK))
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', file.stem)[:80]}-{digest.hexdigest()[:16]}"


def _config(contents: Contents, name: str) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(contents.file.parent, gguf_file=contents.file.name)
    except Exception as error:  # a KeyError for a value that is not there, a ValueError for an architecture
        raise UnsupportedModel(
            f"{name!r} is a GGUF file of a {contents.architecture}, which transformers {transformers.__version__} "
            f"cannot read ({_first_line(error)})",
            hint="give the model as it is on the hub, or another one",
            param="model",
        ) from error
    config.dtype = contents.dtype
    return config


def _convert(contents: Contents, name: str, folder: Path) -> None:
    log.info("unpacking %s into %s, once", contents.file, folder.parent)
    config = _config(contents, name)
    skeleton(name, config, contents.dtype)  # raises for what makes no model
    tokenizer = _tokenizer(contents, name)
    _warn_of(contents)
    ends = end_ids(contents.metadata)
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):  # bars, which no option takes away
        model = _unpacked(contents, config, name)
        model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else ends or None
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(contents: Contents, name: str) -> PreTrainedTokenizerBase:
    try:
        made = AutoTokenizer.from_pretrained(contents.file.parent, gguf_file=contents.file.name)
    except Exception as error:
        raise UnsupportedModel(
            f"the tokenizer in {name!r} cannot be read ({_first_line(error)})",
            hint="give the model as it is on the hub, or another one",
            param="model",
        ) from error
    return mend(made, contents.metadata)


def _unpacked(contents: Contents, config: PreTrainedConfig, name: str) -> PreTrainedModel:
    """The model with weights of plain numbers; transformers would leave them packed where it has kernels for that."""
    from transformers import GgufConfig

    try:
        model, found = model_kind(config).from_pretrained(
            contents.file.parent,
            gguf_file=contents.file.name,
            config=config,
            dtype=contents.dtype,
            output_loading_info=True,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        raise ModelNotFound(f"cannot unpack the weights of {name!r}", hint=_first_line(error), param="model") from error
    wrong: Sequence[object] = sorted(found["missing_keys"]) or sorted(map(str, found.get("mismatched_keys") or ()))
    if wrong:
        raise UnsupportedModel(
            f"{len(wrong)} weights of {name!r} are not where transformers {transformers.__version__} looks for them "
            f"in a {contents.architecture}, {wrong[0]} for one",
            hint="give the model as it is on the hub",
            param="model",
        )
    return model


def _warn_of(contents: Contents) -> None:
    """What such a file may say and transformers does not take over: rotary embeddings that were stretched."""
    scaling = contents.metadata.get(f"{contents.architecture}.rope.scaling.type")
    if "rope_freqs.weight" in contents.tensors or scaling not in (None, "none"):
        log.warning(
            "%s stretches its rotary embeddings, which is not taken over: prefer the model's folder for long prompts",
            contents.file.name,
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
