"""vLLM as an engine: `engine` turns passes into requests, `local` and `server` are where vLLM runs."""

from __future__ import annotations

from correction.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
