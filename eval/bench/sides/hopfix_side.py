"""hopfix itself, through the same loop, clock and memory reading as its competitors."""

from __future__ import annotations

import torch
from worker import Job, Side, load_model, serve

from correction.architecture import Blocks
from correction.forward import states
from correction.grid import GridPass, run_grid


class Hopfix(Side):
    """Hop 1's states once for all layers, then the layer grid."""

    def __init__(self, folder: str) -> None:
        self.model = load_model(folder)
        self.parts = Blocks.of(self.model)
        self.layers = self.parts.depth

    def warm_up(self, job: Job) -> None:
        self.grid(Job(job.sources[:1], job.targets[:1], job.position, job.max_tokens, job.target_layers))

    def grid(self, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
        sources = states(self.model, self.parts, job.sources.tolist(), range(1, self.layers + 1), pad=0)
        request = GridPass(
            [tuple(prompt) for prompt in job.targets.tolist()],
            [job.position] * len(job.targets),
            torch.stack([state[:, -1] for state in sources]),
            job.target_layers,
            max_tokens=job.max_tokens,
        )
        grid = run_grid(self.model, self.parts, request)
        return grid.tokens, grid.margins


if __name__ == "__main__":
    serve(Hopfix, "hopfix")
