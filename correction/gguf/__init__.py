"""GGUF files, made into folders like any other: weights as safetensors, with their config and their tokenizer."""

from correction.gguf.conversion import gguf_config, gguf_folder

__all__ = ["gguf_config", "gguf_folder"]
