"""vLLM as an engine: `engine` makes requests of passes, `local` or `server` runs them, `supervised` keeps it alive."""

from __future__ import annotations

from correction.engines.vllm.engine import VLLMEngine
from correction.engines.vllm.local import LocalVLLM, engine_arguments
from correction.engines.vllm.server import ServerVLLM
from correction.engines.vllm.supervised import Supervised

__all__ = ["LocalVLLM", "ServerVLLM", "Supervised", "VLLMEngine", "engine_arguments"]
