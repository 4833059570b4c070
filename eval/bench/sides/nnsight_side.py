"""nnsight: traces over batches of cells, `generate` for longer answers."""

from __future__ import annotations

import torch
from worker import BatchedSide, Job, greedy, load_model, placeholder_tokenizer, serve


class NNsight(BatchedSide):
    """`TransformersModel`, the class that nnsight's documentation recommends since 0.8."""

    def __init__(self, folder: str) -> None:
        from nnsight import TransformersModel

        self.model = TransformersModel(load_model(folder), task="text-generation", tokenizer=placeholder_tokenizer())
        self.blocks = self.model.model.layers
        self.layers = len(self.blocks)

    def source_states(self, job: Job) -> torch.Tensor:
        with self.model.trace(job.sources, use_cache=False, logits_to_keep=1):
            states = [block.output[:, -1].clone() for block in self.blocks].save()
        return torch.stack(states)

    def patched(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        if job.max_tokens == 1:
            return self.next_token(prompts, states, layer, job)
        with self.model.generate(**greedy(prompts, job.max_tokens), streamer=None) as tracer:
            self.blocks[layer].input[:, job.position] = states  # the first step alone: the prompt
            made = tracer.result.save()
        return made[:, prompts.shape[1] :]

    def next_token(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        """One pass without a KV cache."""
        with self.model.trace(prompts, use_cache=False, logits_to_keep=1):
            self.blocks[layer].input[:, job.position] = states
            logits = self.model.output.logits.save()
        return logits[:, -1].argmax(-1, keepdim=True)


if __name__ == "__main__":
    serve(NNsight, "nnsight")
