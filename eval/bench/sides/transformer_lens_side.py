"""TransformerLens: its bridge to the Hugging Face model, with the model's own weights, and hooks at blocks' inputs."""

from __future__ import annotations

from typing import Any

import torch
from worker import BatchedSide, Job, load_model, placeholder_tokenizer, serve


class TransformerLens(BatchedSide):
    """`TransformerBridge` without compatibility mode: nothing folded or centred, the logits of the model itself."""

    def __init__(self, folder: str) -> None:
        from transformer_lens.model_bridge import TransformerBridge

        self.bridge = TransformerBridge.boot_transformers(
            folder, hf_model=load_model(folder), tokenizer=placeholder_tokenizer(), device="cpu"
        )
        self.layers = self.bridge.cfg.n_layers

    def source_states(self, job: Job) -> torch.Tensor:
        names = [f"blocks.{layer}.hook_out" for layer in range(self.layers)]
        _, cache = self.bridge.run_with_cache(job.sources, names_filter=names, pos_slice=-1, logits_to_keep=1)
        return torch.stack([cache[name].reshape(len(job.sources), -1) for name in names])

    def patched(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        def write(residual: torch.Tensor, hook: Any) -> torch.Tensor:
            residual[:, job.position] = states
            return residual

        logits, cache = self.bridge.run_with_hooks(
            prompts,
            fwd_hooks=[(f"blocks.{layer}.hook_in", write)],
            return_type="logits_and_cache",
            use_cache=job.max_tokens > 1,
            logits_to_keep=1,
        )
        tokens = [logits[:, -1:].argmax(-1)]
        while len(tokens) < job.max_tokens:
            logits, cache = self.bridge(tokens[-1], return_type="logits_and_cache", past_key_values=cache)
            tokens.append(logits[:, -1:].argmax(-1))
        return torch.cat(tokens, dim=1)


if __name__ == "__main__":
    serve(TransformerLens, "transformer-lens")
