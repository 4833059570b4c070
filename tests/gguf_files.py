"""Small GGUF files: a Llama with random weights, written as llama.cpp's converter writes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ("Ġ Ġ", "t h", "th e", "Ġ the", "1 9", "Ċ Ċ")
TOKENS = (*CONTROL, *BYTES, *(merge.replace(" ", "") for merge in MERGES))
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
BYTE_LEVEL: Mapping[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": list(TOKENS),
    "tokenizer.ggml.token_type": [3] * len(CONTROL) + [1] * (len(TOKENS) - len(CONTROL)),
    "tokenizer.ggml.merges": list(MERGES),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.padding_token_id": 2,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.chat_template": TEMPLATE,
}
WORDS = ("▁", "▁the", "a", "b", "c", "▁a")
SENTENCE_PIECE: Mapping[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(WORDS),
    "tokenizer.ggml.scores": [0.0] * 259 + [-1.0 - n for n in range(len(WORDS))],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
}


def tiny_llama(vocabulary: int = len(TOKENS)) -> LlamaForCausalLM:
    """Two layers of width 64, with fewer heads for keys than for queries."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(
    path: Path,
    model: LlamaForCausalLM | None = None,
    *,
    kind: str = "F32",
    tokenizer: Mapping[str, Any] = BYTE_LEVEL,
    architecture: str = "llama",
    **more: Any,
) -> Path:
    """The model, with its matrices in numbers of this kind. more: metadata over all else, `__` for a dot."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    model = model or tiny_llama(len(tokenizer["tokenizer.ggml.tokens"]))
    config = model.config
    writer = GGUFWriter(path, architecture)
    shape = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": config.hidden_size // config.num_attention_heads,
        "vocab_size": config.vocab_size,
    }
    fields = {
        "general.name": "tiny",
        **{f"{architecture}.{key}": value for key, value in shape.items()},
        **tokenizer,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    for key, value in fields.items():
        _add(writer, key, value)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        values = _permuted(name, weight.float().numpy(), config)
        if values.ndim == 1 or kind == "F32":
            writer.add_tensor(_gguf_name(name), values)
        elif kind == "F16":
            writer.add_tensor(_gguf_name(name), values.astype(np.float16))
        else:
            numbers = GGMLQuantizationType[kind]
            writer.add_tensor(_gguf_name(name), quantize(values, numbers), raw_dtype=numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _permuted(name: str, weight: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """llama.cpp has each head's rotary halves interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for part, count in heads.items():
        if part in name:
            halves = weight.reshape(count, 2, weight.shape[0] // count // 2, -1)
            return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
    return weight


def _gguf_name(name: str) -> str:
    renamed = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers": "blk",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for theirs, ours in renamed.items():
        name = name.replace(theirs, ours)
    return name
