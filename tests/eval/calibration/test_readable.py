"""Readable layers: those whose states already give, through the model's own head, what the last layer gives."""

from __future__ import annotations

import torch

from correction.corrector import Corrector
from correction.models import LoadedModel
from correction.passes import Capture, Pass, Sampling
from eval.calibration.readable import READ, readable_layers
from eval.demo_world.suite import demo_suite
from tests.conftest import Asked

QUESTIONS = demo_suite()["calibration"][:40]


def test_layers_are_readable_where_the_head_reads_the_same_token(demo: LoadedModel) -> None:
    async def both(corrector: Corrector) -> tuple[list[int], list[float]]:
        prompts = [corrector.prompts.encode(q.hop1, "hop1") for q in QUESTIONS]
        agreed = torch.zeros(demo.parts.depth)
        for prompt in prompts:
            layers = tuple(Capture(layer) for layer in range(1, demo.parts.depth + 1))
            states = (await corrector.engine.run(Pass(prompt, layers, sampling=Sampling(0, 0)))).states
            tokens = [int(demo.parts.predict(state[0]).argmax()) for state in states]
            agreed += torch.tensor([float(token == tokens[-1]) for token in tokens])
        return await readable_layers(corrector, prompts), (agreed / len(prompts)).tolist()

    found, shares = Asked(demo)(both)
    assert found == [layer for layer, share in enumerate(shares, start=1) if share >= READ]
    assert found[-1] == demo.parts.depth
    assert len(found) > 1, "the model was trained with layers left out"
