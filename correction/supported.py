"""What there is to choose from, without torch; and what is known to work: architectures by the `model_type` of their
config.json, with which the tests' list is compared.

Another decoder works if `correction.architecture` finds its parts, which `hopfix models MODEL` says.
"""

from __future__ import annotations

TESTED = {
    "bloom": "BLOOM",
    "falcon": "Falcon, with ALiBi and without",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3",
    "gpt2": "GPT-2",
    "gpt_neox": "GPT-NeoX, Pythia",
    "gpt_oss": "gpt-oss",
    "gptj": "GPT-J",
    "llama": "Llama",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "olmo2": "OLMo 2",
    "opt": "OPT",
    "phi3": "Phi-3",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
}
INSPECTED = {"mamba": "Mamba", "t5": "T5"}  # their states can be looked at; correction needs a decoder with a KV cache

MODEL = "Hub id, folder or .gguf file; demo is bundled, smollm2 is a small real model (make smollm2)."
MODELS = ("demo", "smollm2")
ENGINES = ("hf", "hf+vllm", "vllm")
DEVICES = ("auto", "cpu", "cuda", "balanced")
DTYPES = ("auto", "float32", "bfloat16", "float16")
