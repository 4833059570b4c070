"""The fast layer grid against one plain pass a cell, on every architecture."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from correction import trunk
from correction.architecture import Blocks
from correction.engines import HFEngine
from correction.errors import EngineUnavailable, InvalidInput, PatchNotApplied, UnsupportedModel
from correction.forward import generate, states
from correction.grid import Grid, GridPass, run_grid, tiles
from correction.mappings import mapping_named
from correction.models import LoadedModel
from correction.passes import Pass, Sampling
from tests.architectures import CONFIGS, random_weights
from tests.conftest import Asked

# Of several lengths, with the site at several distances from the end, longer than the sliding windows.
PROMPTS = [tuple(range(5, 17)), (11, 12, 13), (20, 21, 22, 23, 24, 25, 26, 27, 28)]
POSITIONS = [9, 1, -1]
SOURCES = [(31, 32, 33, 34, 35, 36, 37), (41, 42), (51, 52, 53)]


def request_of(model: PreTrainedModel, mapping: str = "identity", max_tokens: int = 4) -> GridPass:
    parts = Blocks.of(model)
    read = states(model, parts, SOURCES, range(1, parts.depth + 1), pad=0)
    layers = range(1 if mapping == "norm_matched" else parts.depth)
    sources = torch.stack([state[:, -1] for state in read])
    return GridPass(PROMPTS, POSITIONS, sources, layers, mapping_named(mapping), max_tokens=max_tokens)


def cell_by_cell(model: PreTrainedModel, request: GridPass, stop: frozenset[int] = frozenset()) -> Grid:
    """The plain path: every cell a pass, which is the same alone as in a batch (test_forward)."""
    rows = generate(model, Blocks.of(model), request.passes(), stop=stop, pad=0)
    sizes = (len(request.prompts), request.states.shape[1], len(request.target_layers), request.max_tokens)
    tokens = torch.tensor([row.tokens + [-1] * (request.max_tokens - len(row.tokens)) for row in rows])
    logprobs = torch.tensor([row.logprobs + [0.0] * (request.max_tokens - len(row.logprobs)) for row in rows])
    return Grid(tokens.view(sizes), logprobs.view(sizes), torch.zeros(sizes))


def assert_same(fast: Grid, plain: Grid) -> None:
    assert torch.equal(fast.tokens, plain.tokens)
    torch.testing.assert_close(fast.logprobs, plain.logprobs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mapping", ["identity", "norm_matched", "vocabulary"])
def test_every_cell_is_what_a_pass_alone_says(random_model: PreTrainedModel, mapping: str) -> None:
    request = request_of(random_model, mapping)
    assert_same(run_grid(random_model, Blocks.of(random_model), request), cell_by_cell(random_model, request))


def test_an_architecture_and_a_seed_drawn_now() -> None:
    """Nobody has tuned anything to this case: architecture, weights, prompts and sites are new in every run."""
    drawn = random.SystemRandom()
    name, seed = drawn.choice(sorted(CONFIGS)), drawn.randrange(10**6)
    dice = random.Random(seed)
    model = random_weights(name, seed)
    prompts = [tuple(dice.randrange(3, 97) for _ in range(dice.randrange(1, 20))) for _ in range(4)]
    positions = [dice.randrange(len(prompt)) for prompt in prompts]
    sources = torch.randn(4, 5, 32, generator=torch.Generator().manual_seed(seed))
    request = GridPass(prompts, positions, sources, [0, 2], max_tokens=3)
    fast, plain = run_grid(model, Blocks.of(model), request), cell_by_cell(model, request)
    clear = (fast.margins > 1e-3).cumprod(-1).bool()  # after a tie the paths may part
    assert clear[..., 0].float().mean() > 0.5
    assert torch.equal(fast.tokens[clear], plain.tokens[clear]), f"{name}, seed {seed}"
    torch.testing.assert_close(fast.logprobs[clear], plain.logprobs[clear], atol=1e-4, rtol=1e-4)


def test_cells_stop_where_passes_stop(random_model: PreTrainedModel) -> None:
    request = request_of(random_model, max_tokens=5)
    said = run_grid(random_model, Blocks.of(random_model), request).tokens
    stop = frozenset(said[..., 1:3].flatten().tolist())
    fast = run_grid(random_model, Blocks.of(random_model), request, stop=stop)
    assert (fast.tokens == -1).any()
    assert_same(fast, cell_by_cell(random_model, request, stop))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "bloom"])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    model = random_weights(name, dtype=dtype)
    request = request_of(model, max_tokens=1)
    fast, plain = run_grid(model, Blocks.of(model), request), cell_by_cell(model, request)
    clear = fast.margins > 0.1
    assert clear.float().mean() > 0.5
    assert torch.equal(fast.tokens[clear], plain.tokens[clear])
    torch.testing.assert_close(fast.logprobs[clear], plain.logprobs[clear], atol=0.1, rtol=0.05)


def test_branches_do_not_see_one_another() -> None:
    """Each state says the same beside others as alone."""
    model = random_weights("gemma3")
    request = request_of(model)
    together = run_grid(model, Blocks.of(model), request)
    for number in range(request.states.shape[1]):
        part = GridPass(PROMPTS, POSITIONS, request.states[:, [number]], [1], max_tokens=4)
        alone = run_grid(model, Blocks.of(model), part)
        assert torch.equal(alone.tokens[:, 0, 0], together.tokens[:, number, 1])


def test_long_tails_are_cut_into_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_weights("llama")
    request = request_of(model)
    whole = run_grid(model, Blocks.of(model), request)
    monkeypatch.setattr("correction.grid.MOST_KEPT_TOKENS", 1)
    monkeypatch.setattr("correction.grid.MOST_BRANCH_TOKENS", 3)
    assert len(tiles(request)) == len(PROMPTS)
    assert_same(run_grid(model, Blocks.of(model), request), whole)


def test_a_model_whose_numbers_are_undefined_is_refused() -> None:
    model = random_weights("llama")
    model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(EngineUnavailable, match="no number"):
        run_grid(model, Blocks.of(model), request_of(model))


def test_a_grid_whose_patches_do_not_happen_fails() -> None:
    """The hook stands at an embedding that the model does not run: no cell may claim a patch."""
    model = random_weights("llama")
    elsewhere = replace(Blocks.of(model), embedding=torch.nn.Embedding(97, 32))
    with pytest.raises(PatchNotApplied, match="at layer 0"):
        run_grid(model, elsewhere, request_of(model, "vocabulary"))


def test_two_engines_on_one_model_do_not_mix(demo: LoadedModel) -> None:
    """Blocks are left out of the model while a grid runs: a pass of another engine waits."""
    prompt = Pass(PROMPTS[0], sampling=Sampling(6))

    async def go() -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        first, second = HFEngine(demo), HFEngine(demo)
        try:
            alone = (await second.run(prompt)).tokens
            grid = asyncio.create_task(first.grid(demo_request(demo)))
            beside = [(await second.run(prompt)).tokens for _ in range(8)]
            await grid
        finally:
            await first.close()
            await second.close()
        return beside, alone

    beside, alone = asyncio.run(go())
    assert set(beside) == {alone}


def test_an_architecture_whose_branches_are_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing tells the blocks that branches must be kept apart."""
    model = random_weights("llama")
    monkeypatch.setattr(trunk, "PLACED", {})
    with pytest.raises(UnsupportedModel, match="branches of LlamaForCausalLM"):
        run_grid(model, Blocks.of(model), request_of(model))


def test_an_architecture_that_cannot_be_entered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the traceback of whatever went wrong inside."""
    model = random_weights("llama")
    monkeypatch.setattr(trunk.Trunk, "_ask_places", lambda self, pad: 1 / 0)
    with pytest.raises(UnsupportedModel, match="LlamaForCausalLM cannot branch: ZeroDivisionError"):
        run_grid(model, Blocks.of(model), request_of(model))


def test_an_architecture_that_nobody_named() -> None:
    """Parts with names that the table does not have are found by their kind."""

    class Tower(torch.nn.Module):
        def __init__(self, whole: PreTrainedModel) -> None:
            super().__init__()
            self.storeys = whole.layers
            self.closing_norm = whole.norm

    model = random_weights("llama")
    expected = Blocks.of(model)

    class Unnamed:
        base_model = Tower(model.base_model)
        config = model.config
        get_input_embeddings = model.get_input_embeddings
        get_output_embeddings = model.get_output_embeddings

    found = Blocks.of(Unnamed())  # type: ignore[arg-type]
    assert found.blocks is expected.blocks
    assert found.norm is expected.norm


def test_the_engine_runs_grids_of_models_that_cannot_branch(unusual_model: PreTrainedModel, demo: LoadedModel) -> None:
    """T5 reads the prompt with its encoder, Mamba has no keys and values: a pass a cell, the same numbers."""
    request = request_of(unusual_model)
    with pytest.raises(UnsupportedModel):
        run_grid(unusual_model, Blocks.of(unusual_model), request)
    done: list[int] = []
    host = LoadedModel("random", demo.folder, unusual_model, demo.tokenizer, Blocks.of(unusual_model))

    async def go() -> Grid:
        engine = HFEngine(host)
        try:
            return await engine.grid(request, done.append)
        finally:
            await engine.close()

    assert_same(asyncio.run(go()), cell_by_cell(unusual_model, request, host.stop_tokens))
    assert sum(done) == len(PROMPTS)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("too much"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_the_engine_splits_a_grid_that_is_out_of_memory(
    demo: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    request = demo_request(demo)

    async def go(corrector):  # type: ignore[no-untyped-def]
        return await corrector.engine.grid(request)

    whole = Asked(demo)(go)
    real = HFEngine._tile

    def small(engine: HFEngine, asked: GridPass, rows: list[int]) -> Grid:
        if len(rows) > 1:
            raise error
        return real(engine, asked, rows)

    monkeypatch.setattr(HFEngine, "_tile", small)
    assert_same(Asked(demo)(go), whole)


def test_one_prompt_that_is_out_of_memory_is_refused(demo: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(engine: HFEngine, asked: GridPass, rows: list[int]) -> Grid:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(HFEngine, "_tile", full)
    with pytest.raises(EngineUnavailable, match="out of memory: shorten the prompt"):
        Asked(demo)(lambda corrector: corrector.engine.grid(demo_request(demo)))


def test_long_prompts_are_fewer_at_once() -> None:
    """What a tile holds of the prompts themselves is bounded too."""
    request = GridPass([tuple(range(4000))] * 6, [-1] * 6, torch.zeros(6, 1, 8), [0])
    assert [len(rows) for rows in tiles(request)] == [4, 2]


def demo_request(demo: LoadedModel) -> GridPass:
    sources = torch.stack([state[:, -1] for state in states(demo.model, demo.parts, SOURCES, [3, 6], pad=0)])
    return GridPass(PROMPTS, POSITIONS, sources, [0, 3], max_tokens=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_layers": [7]}, "layer 7 is out of range: the model has layers 0 to 6"),
        ({"positions": [0, 3, 0]}, "position 3 is out of range"),
        ({"positions": [0]}, "a position and states for each prompt"),
        ({"target_layers": []}, "the grid is empty"),
        ({"max_tokens": 0}, "generates at least one token"),
        ({"states": torch.full((3, 2, 128), torch.nan)}, "not finite"),
        ({"states": torch.zeros(3, 2, 64)}, "does not fit the mapping 'identity': it takes states of width 128"),
    ],
)
def test_grids_that_cannot_be_run(demo: LoadedModel, change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Asked(demo)(lambda corrector: corrector.engine.grid(replace(demo_request(demo), **change)))


def test_a_model_spread_by_wrapped_blocks_is_put_back() -> None:
    """Libraries that spread a model over devices replace the blocks' forward: skipping must give theirs back."""
    model = LlamaForCausalLM(LlamaConfig(**{**CONFIGS["llama"].to_dict()})).eval()
    block = model.model.layers[0]
    wrapped = block.forward
    ran: list[str] = []

    def theirs(*args, **kwargs):  # type: ignore[no-untyped-def]
        ran.append("theirs")
        return wrapped(*args, **kwargs)

    block.forward = theirs
    run_grid(model, Blocks.of(model), request_of(model))
    assert block.__dict__["forward"] is theirs
    assert ran
    assert "forward" not in model.model.layers[1].__dict__
