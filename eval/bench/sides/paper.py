"""The paper's protocol as published: one cell of one question at a time, both prompts in full, by forward hooks."""

from __future__ import annotations

from typing import Any

import torch
from worker import Job, Side, greedy, load_model, serve


class Paper(Side):
    """Plain transformers; nothing is kept from one cell to the next."""

    def __init__(self, folder: str) -> None:
        self.model = load_model(folder)
        self.layers = self.model.config.num_hidden_layers

    def warm_up(self, job: Job) -> None:
        self.cell(job, job.targets[:1], self.state(job.sources[:1], 1), 0)

    def grid(self, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (len(job.targets), self.layers, len(job.target_layers), job.max_tokens)
        tokens, margins = torch.zeros(shape, dtype=torch.int32), torch.zeros(shape)
        for question in range(shape[0]):
            for source in range(1, self.layers + 1):
                for column, target in enumerate(job.target_layers):
                    state = self.state(job.sources[[question]], source)
                    cell = question, source - 1, column
                    tokens[cell], margins[cell] = self.cell(job, job.targets[[question]], state, target)
        return tokens, margins

    def state(self, prompt: torch.Tensor, layer: int) -> torch.Tensor:
        """The state that block `layer`, counted from 1, gives at the prompt's last position."""
        kept: list[torch.Tensor] = []

        def keep(_block: Any, _args: Any, output: torch.Tensor) -> None:
            kept.append(output[:, -1].clone())

        hook = self.model.model.layers[layer - 1].register_forward_hook(keep)
        try:
            self.model(prompt)
        finally:
            hook.remove()
        return kept[0]

    def cell(
        self, job: Job, prompt: torch.Tensor, state: torch.Tensor, layer: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and margins of one cell: `state` is overwritten in what block `layer + 1` receives of the prompt."""

        def overwrite(_block: Any, args: tuple[torch.Tensor, ...]) -> None:
            if args[0].shape[1] == prompt.shape[1]:  # not the generated tokens, which come one by one
                args[0][:, job.position] = state

        hook = self.model.model.layers[layer].register_forward_pre_hook(overwrite)
        try:
            if job.max_tokens == 1:
                logits = [self.model(prompt, logits_to_keep=1).logits[:, -1]]
                tokens = logits[0].argmax(-1)
            else:
                options = {"output_logits": True, "return_dict_in_generate": True}
                made = self.model.generate(**greedy(prompt, job.max_tokens), **options)
                logits, tokens = made.logits, made.sequences[0, prompt.shape[1] :]
        finally:
            hook.remove()
        best = torch.cat(tuple(logits)).topk(2).values
        return tokens, best[:, 0] - best[:, 1]


if __name__ == "__main__":
    serve(Paper)
