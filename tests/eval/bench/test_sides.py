"""Every side of the sweep benchmark gives the same tokens, in the peers' environment: `make test-peers`."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

SIDES = Path(__file__).parents[3] / "eval" / "bench" / "sides"
LAYERS, QUESTIONS, SOURCE, TARGET, POSITION = 3, 3, 7, 9, 6
VOCABULARY = 101

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama whose cells differ: the usual initialisation gives one token everywhere."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=64,
        eos_token_id=5,  # likely to be generated: no side may stop at it
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.3)
    folder = tmp_path_factory.mktemp("llama")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[1, 8])
def job(request: pytest.FixtureRequest, model: Path) -> dict[str, Any]:
    dice = random.Random(1)

    def prompts(length: int) -> list[list[int]]:
        return [[dice.randrange(VOCABULARY) for _ in range(length)] for _ in range(QUESTIONS)]

    sizes = {"position": POSITION, "max_tokens": request.param, "threads": 1}
    return {"model": str(model), "sources": prompts(SOURCE), "targets": prompts(TARGET), **sizes}


def replies(side: str, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """What a worker says to jobs, one line each and nothing else."""
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    command = [sys.executable, str(SIDES / f"{side}.py")]
    done = subprocess.run(command, check=False, input=lines, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def published(job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The tokens and margins of the paper's protocol."""
    out = tmp_path_factory.mktemp("paper") / "grid.npz"
    (reply,) = replies("paper", job | {"out": str(out)})
    assert reply["seconds"] > 0
    with np.load(out) as grid:
        return dict(grid)


def test_the_papers_cells_differ(published: dict[str, np.ndarray], job: dict[str, Any]) -> None:
    assert published["tokens"].shape == (QUESTIONS, LAYERS, LAYERS, job["max_tokens"])
    assert (published["margins"] > 1e-4).mean() > 0.9
    for cells in published["tokens"].reshape(QUESTIONS, LAYERS**2, -1):
        assert len(np.unique(cells, axis=0)) > 2


@pytest.mark.parametrize("side", ["nnsight_side", "nnsight_skip_side", "transformer_lens_side", "pyvene_side"])
def test_sides_agree(side: str, job: dict[str, Any], published: dict[str, np.ndarray], tmp_path: Path) -> None:
    out = tmp_path / "grid.npz"
    broken = job | {"model": str(tmp_path / "missing"), "out": str(out)}
    some = tmp_path / "some.npz"
    error, reply, _ = replies(side, broken, job | {"out": str(out)}, job | {"out": str(some), "target_layers": [0, 2]})
    assert set(error) == {"error"}
    assert reply["seconds"] > 0
    assert reply["peak_mb"] >= 0
    assert {"python", "torch", "transformers"} < set(reply["versions"])
    with np.load(out) as grid, np.load(some) as part:
        np.testing.assert_array_equal(part["tokens"], grid["tokens"][:, :, [0, 2]])
        assert grid["tokens"].dtype == np.int32
        assert grid["margins"].shape == grid["tokens"].shape
        sure = published["margins"].min(axis=-1) > 1e-4  # a tie may fall either way, and what follows it
        np.testing.assert_array_equal(grid["tokens"][sure], published["tokens"][sure])
