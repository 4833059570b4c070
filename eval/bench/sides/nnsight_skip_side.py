"""nnsight with `skip`: a clean run of the targets is kept, and the blocks below a patch are not run again.

Nothing in nnsight's patching examples does this; its documentation has the parts, and someone who thinks of it can. Not
possible for longer answers: `generate` needs the keys and values of every block.
"""

from __future__ import annotations

import torch
from nnsight_side import NNsight
from worker import Job, serve


class NNsightSkip(NNsight):
    """As `NNsight`, but for a first token block `layer + 1` receives the kept clean states, patched."""

    def source_states(self, job: Job) -> torch.Tensor:
        if job.max_tokens == 1:
            with self.model.trace(job.targets, use_cache=False, logits_to_keep=1):
                self.clean = [block.input.clone() for block in self.blocks].save()
        return super().source_states(job)

    def next_token(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        stream = self.clean[layer].repeat(len(prompts) // len(job.targets), 1, 1)
        stream[:, job.position] = states
        with self.model.trace(prompts, use_cache=False, logits_to_keep=1):
            for block in self.blocks[:layer]:
                block.skip(stream)
            if layer == 0:
                self.blocks[0].input = stream
            logits = self.model.output.logits.save()
        return logits[:, -1].argmax(-1, keepdim=True)


if __name__ == "__main__":
    serve(NNsightSkip, "nnsight")
