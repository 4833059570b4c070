"""What a config.json makes: the class of its models, their context, and one of them that takes no memory."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig, PreTrainedModel

from correction.errors import UnsupportedModel


def context_of(config: PreTrainedConfig) -> int:
    """The most tokens that a model of this configuration can have before it."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        if isinstance(limit := getattr(config.get_text_config(), name, None), int):
            return limit
    return 2048


def model_kind(config: PreTrainedConfig) -> Any:
    """The class that makes models of this configuration."""
    return AutoModelForSeq2SeqLM if getattr(config, "is_encoder_decoder", False) else AutoModelForCausalLM


def skeleton(
    name: str, config: PreTrainedConfig, dtype: torch.dtype, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """The model with its parts in place on the meta device, where nothing has memory. Raises `UnsupportedModel`."""
    try:
        with torch.device("meta"):
            model: PreTrainedModel = model_kind(config).from_config(
                config, dtype=dtype, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # whatever an architecture does with numbers that it was not made for
        if "Unrecognized configuration class" in str(error):  # transformers knows it, and no head that predicts words
            raise UnsupportedModel(
                f"{name!r} is a {config.model_type}, which is no language model",
                hint="give one that transformers loads as AutoModelForCausalLM",
            ) from None
        raise makes_no_model(name, error) from error
    return model.eval()


def makes_no_model(name: str, error: Exception) -> UnsupportedModel:
    """What to raise for a config.json whose values contradict each other or are of another kind."""
    said = " ".join(str(error).split())
    return UnsupportedModel(
        f"config.json of {name!r} makes no model ({type(error).__name__}: {said})",
        hint="correct it, or fetch it again from where the model is",
        param="model",
    )
