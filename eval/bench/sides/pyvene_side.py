"""pyvene: interchange interventions with source representations collected once."""

from __future__ import annotations

import torch
from worker import BatchedSide, Job, greedy, load_model, serve


class Pyvene(BatchedSide):
    """One `IntervenableModel` that collects at every layer, and one a target layer that writes; all share the model."""

    def __init__(self, folder: str) -> None:
        import pyvene

        model = load_model(folder)
        self.layers = model.config.num_hidden_layers
        collect = [
            {"layer": layer, "component": "block_output", "intervention_type": pyvene.CollectIntervention}
            for layer in range(self.layers)
        ]
        self.collector = pyvene.IntervenableModel(collect, model)
        self.writers = [
            pyvene.IntervenableModel(
                {"layer": layer, "component": "block_input", "intervention_type": pyvene.VanillaIntervention}, model
            )
            for layer in range(self.layers)
        ]

    def source_states(self, job: Job) -> torch.Tensor:
        base = {"input_ids": job.sources, "logits_to_keep": 1}
        (_, states), _ = self.collector(base, unit_locations={"base": job.sources.shape[1] - 1}, use_cache=False)
        return torch.stack([state.reshape(len(job.sources), -1) for state in states])

    def patched(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        writer = self.writers[layer]
        patch = {"source_representations": states[:, None], "unit_locations": {"base": job.position}}
        if job.max_tokens == 1:
            _, out = writer({"input_ids": prompts, "logits_to_keep": 1}, use_cache=False, **patch)
            return out.logits[:, -1:].argmax(-1)
        options = greedy(prompts, job.max_tokens)
        base = {"input_ids": options.pop("input_ids"), "attention_mask": options.pop("attention_mask")}
        _, made = writer.generate(base, intervene_on_prompt=True, **patch, **options)
        return made[:, prompts.shape[1] :]


if __name__ == "__main__":
    serve(Pyvene, "pyvene")
