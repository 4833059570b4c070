"""Engines: what runs passes. `hf` is the custom forward, `vllm` is vLLM, `hf+vllm` both."""

from correction.engines.base import Engine
from correction.engines.hf import HFEngine
from correction.engines.split import SplitEngine
from correction.engines.vllm import VLLMEngine

__all__ = ["Engine", "HFEngine", "SplitEngine", "VLLMEngine"]
