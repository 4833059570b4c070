"""`hopfix bench vllm`: what patching inside vLLM costs, and what a corrected answer costs on each engine."""
