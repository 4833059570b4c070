"""A small random-weight configuration of each architecture, with the traps that it brings."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    T5Config,
)

SHAPE = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
NORMAL = {**SHAPE, "intermediate_size": 48, "max_position_embeddings": 64}
GROUPED = {**NORMAL, "num_key_value_heads": 2}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
OLD = {
    "vocab_size": 97,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HYBRID = ["sliding_attention", "full_attention", "sliding_attention"]
WINDOW = {"sliding_window": 5}  # shorter than the test prompts

CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**NORMAL, tie_word_embeddings=True),
    "mistral": MistralConfig(**GROUPED, **WINDOW, head_dim=8),
    "mixtral": MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2),
    "qwen2": Qwen2Config(**GROUPED, **WINDOW, use_sliding_window=True, max_window_layers=1),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gemma2": Gemma2Config(**GROUPED, **WINDOW, head_dim=8),  # scaled embeddings, capped logits
    "gemma3": Gemma3TextConfig(**GROUPED, **WINDOW, head_dim=8, layer_types=HYBRID),  # a rope of its own for each kind
    "phi3": Phi3Config(**GROUPED, **ENDS),
    "olmo2": Olmo2Config(**GROUPED, **ENDS),  # norms after the sublayers
    "gpt_neox": GPTNeoXConfig(**NORMAL),  # parallel blocks, untied embeddings
    "gpt2": GPT2Config(**OLD),  # learned positions
    "gptj": GPTJConfig(**OLD, rotary_dim=4),  # parallel blocks, rotary on a part
    "opt": OPTConfig(  # learned positions with an offset
        **SHAPE, ffn_dim=48, max_position_embeddings=64, word_embed_proj_dim=32, pad_token_id=1, eos_token_id=2
    ),
    "bloom": BloomConfig(vocab_size=97, hidden_size=32, n_layer=3, n_head=4),  # ALiBi, embedding norm
    "falcon": FalconConfig(**SHAPE, ffn_hidden_size=48, max_position_embeddings=64, bos_token_id=1, eos_token_id=2),
    "falcon_alibi": FalconConfig(**SHAPE, alibi=True, ffn_hidden_size=48, bos_token_id=1, eos_token_id=2),
    "gpt_oss": GptOssConfig(  # attention sinks
        **GROUPED,
        **WINDOW,
        head_dim=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        layer_types=HYBRID,
        pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
}
# The plain path alone: no decoder that branches could stand in.
UNUSUAL: dict[str, PreTrainedConfig] = {
    "t5": T5Config(vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, decoder_start_token_id=0),
    "mamba": MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=3, state_size=4, expand=2, conv_kernel=4),
}


def random_weights(name: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A model of that architecture. The usual initialisation is too small to tell states apart."""
    torch.manual_seed(seed)
    config = {**CONFIGS, **UNUSUAL}[name]
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model: PreTrainedModel = kind.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    model.tie_weights()
    return model.to(dtype)
