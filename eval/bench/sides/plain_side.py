"""No patch at all: one plain batched generation of the target prompts, which a grid's memory is compared with."""

from __future__ import annotations

import torch
from worker import Job, Side, greedy, load_model, serve


class Plain(Side):
    """Every cell says what the unpatched prompt says."""

    def __init__(self, folder: str) -> None:
        self.model = load_model(folder)
        self.layers = self.model.config.num_hidden_layers

    def warm_up(self, job: Job) -> None:
        self.grid(job)

    def grid(self, job: Job) -> tuple[torch.Tensor, None]:
        made = self.model.generate(**greedy(job.targets, job.max_tokens))[:, job.targets.shape[1] :]
        return made[:, None, None].repeat(1, self.layers, len(job.target_layers), 1), None


if __name__ == "__main__":
    serve(Plain)
