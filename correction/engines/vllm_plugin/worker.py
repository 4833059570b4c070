"""A worker's part: the sites of its requests, served while its model runs.

Blocks and embedding get a `forward` that calls `Sites.visit` around their own. Run eagerly it is a plain call, and
blocks that no request of a step needs are left out; where the model is compiled it is an operator that the compiler
keeps as it is. Neither has a fixed number of places, so nothing can overflow: vLLM's own token budget is the limit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from correction.engines.vllm_plugin import KEY, switched_on, text_of
from correction.engines.vllm_plugin.leaving import Leaving, runs_on_rows
from correction.engines.vllm_plugin.parts import VLLMParts
from correction.engines.vllm_plugin.sites import Sites
from correction.hooks import EMBEDDING

OPERATOR = "hopfix::visit"
PLACE = "_hopfix_place"  # of a block or embedding: its index, or EMBEDDING
NO_GRAPHS = '{"cudagraph_mode": "NONE"}'


class _Process:
    """What this process has: vLLM runs one model in each."""

    sites: Sites | None = None
    leaving: Leaving | None = None


def _visit(hidden: Tensor, residual: Tensor | None, layer: int) -> None:
    if _Process.sites is not None:
        _Process.sites.visit(layer, hidden, residual)


@torch.library.custom_op(OPERATOR, mutates_args=("hidden", "residual"))
def visit(hidden: Tensor, residual: Tensor | None, layer: int) -> None:
    """`Sites.visit` for a compiled model."""
    _visit(hidden, residual, layer)


@visit.register_fake
def _(hidden: Tensor, residual: Tensor | None, layer: int) -> None:
    return None


def install() -> None:
    """Puts hopfix's steps around those of vLLM's worker and model runner; without `switched_on` they do nothing."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner
    from vllm.v1.worker.gpu_worker import Worker

    for runner in (GPUModelRunner, CPUModelRunner):
        _after(runner, "load_model", _arm)
    _after(Worker, "load_model", _check_armed)
    _around_step(Worker, GPUModelRunner)


def _after(owner: type, name: str, then: Callable[[Any], None]) -> None:
    plain = vars(owner)[name]

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = plain(self, *args, **kwargs)
        then(self)
        return given

    setattr(owner, name, wrapped)


def _arm(runner: Any) -> None:
    """Prepares a model that has just been loaded."""
    if not switched_on(runner.vllm_config):
        return
    from vllm.config import CompilationMode

    config = runner.vllm_config
    _check_config(config, runner.device)
    compilation = config.compilation_config
    sites = _Process.sites = Sites(VLLMParts.of(runner.model, runner.model_config, runner.device))
    eager = compilation.mode == CompilationMode.NONE
    kinds = {type(block) for block in sites.parts.blocks.values()}
    if eager and runner.device.type == "cpu" and all(runs_on_rows(kind) for kind in kinds):
        _Process.leaving = Leaving(runner, sites.parts)
    for index, block in sites.parts.blocks.items():
        setattr(block, PLACE, index)
        _wrap(type(block), _eager if eager else _compiled)
    if sites.parts.embedding is not None:
        setattr(sites.parts.embedding, PLACE, EMBEDDING)
        _wrap(type(sites.parts.embedding), partial(_embedding, visit=_visit if eager else visit))


def _check_config(config: Any, device: torch.device) -> None:
    """Raises `RuntimeError`, which ends vLLM's start, for what sites would silently be wrong with."""
    from vllm.config import CUDAGraphMode

    parallel = config.parallel_config
    contexts = (parallel.decode_context_parallel_size, parallel.prefill_context_parallel_size)
    graphs = device.type != "cpu" and config.compilation_config.cudagraph_mode != CUDAGraphMode.NONE
    for wrong, what in (
        # In a replayed graph no Python runs: every patch would be refused as not written.
        (graphs, f"CUDA graphs (start vLLM with --compilation-config '{NO_GRAPHS}')"),
        (config.kv_transfer_config is not None, "a KV connector, which knows blocks by their tokens alone"),
        (config.speculative_config is not None, "speculative decoding"),
        (config.lora_config is not None, "LoRA"),
        (config.model_config.enable_prompt_embeds, "prompt embeddings"),
        (parallel.use_ubatching, "microbatches"),
        (max(contexts) > 1, "context parallelism"),
    ):
        if wrong:
            raise RuntimeError(f"hopfix does not patch beside {what}")


def _check_armed(worker: Any) -> None:
    if switched_on(worker.vllm_config) and _Process.sites is None:
        raise RuntimeError("hopfix knows vLLM's model runner V1 alone: set VLLM_USE_V2_MODEL_RUNNER=0")


def _wrap(kind: type[nn.Module], around: Callable[[Any], Any]) -> None:
    plain: Any = kind.forward
    if not hasattr(plain, PLACE):  # of the class: the compiler does not look at an instance's own forward
        wrapped = around(plain)
        setattr(wrapped, PLACE, True)
        kind.forward = wrapped


def _embedding(plain: Any, visit: Any) -> Any:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = plain(self, *args, **kwargs)
        if hasattr(self, PLACE):
            visit(given, None, EMBEDDING)
        return given

    return forward


def _compiled(plain: Any) -> Any:
    hidden_of = _argument(plain, "hidden_states")

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        layer = getattr(self, PLACE, None)
        if layer is None:
            return plain(self, *args, **kwargs)
        if layer == 0:
            visit(hidden_of(args, kwargs), None, 0)
        given = plain(self, *args, **kwargs)
        visit(*_stream(given), layer + 1)
        return given

    return forward


def _eager(plain: Any) -> Any:
    hidden_of, residual_of = _argument(plain, "hidden_states"), _argument(plain, "residual")
    returns: list[Callable[[Tensor, Tensor | None], Any]] = []  # the form in which a block of this kind hands on

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        sites = _Process.sites
        if sites is None or sites.step is None or not hasattr(self, PLACE):
            return plain(self, *args, **kwargs)
        layer, step = getattr(self, PLACE), sites.step
        if layer == 0:
            sites.visit(0, hidden_of(args, kwargs), None)
        if step.exits and layer and _Process.leaving is not None:
            given = _Process.leaving.run(step, layer, partial(plain, self), *_in_order(plain, args, kwargs))
        elif step.skip is not None and layer >= step.skip and returns:
            given = returns[0](hidden_of(args, kwargs), residual_of(args, kwargs))
        else:
            given = plain(self, *args, **kwargs)
            if not returns:
                returns.append(_form(given))
        sites.visit(layer + 1, *_stream(given))
        return given

    return forward


def _in_order(plain: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return args if not kwargs else inspect.signature(plain).bind(None, *args, **kwargs).args[1:]


def _argument(plain: Any, name: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    names = [*inspect.signature(plain).parameters][1:]
    at = names.index(name) if name in names else None
    return lambda args, kwargs: kwargs.get(name) if name in kwargs or at is None or at >= len(args) else args[at]


def _stream(given: Any) -> tuple[Tensor, Tensor | None]:
    """What a block returns: states, or states and a residual that is still to be added to them."""
    if not isinstance(given, tuple):
        return given, None
    fused = len(given) > 1 and isinstance(given[1], Tensor) and given[1].shape == given[0].shape
    return given[0], given[1] if fused else None


def _form(given: Any) -> Callable[[Tensor, Tensor | None], Any]:
    if not isinstance(given, tuple):
        return lambda hidden, residual: hidden
    if _stream(given)[1] is not None:
        return lambda hidden, residual: (hidden, residual)
    return lambda hidden, residual: (hidden, *(None for _ in given[1:]))


def _around_step(worker: type, runner: type) -> None:
    from vllm.sequence import IntermediateTensors

    worker_step, step = vars(worker)["execute_model"], vars(runner)["execute_model"]
    prepare, sample, finish = (vars(runner)[name] for name in ("_prepare_inputs", "_sample", "sample_tokens"))

    def execute_worker(self: Any, scheduled: Any) -> Any:
        if (sites := _Process.sites) is not None:
            # Before the worker waits for another rank, which may wait for this one.
            sites.admit(_new(scheduled), scheduled.finished_req_ids)
        return worker_step(self, scheduled)

    def prepare_inputs(self: Any, scheduled: Any, counts: Any) -> Any:
        given = prepare(self, scheduled, counts)
        sites = _Process.sites
        if sites is not None:
            batch = self.input_batch
            computed = batch.num_computed_tokens_cpu
            rows = ((name, int(computed[n]), int(counts[n])) for n, name in enumerate(batch.req_ids))
            sites.plan(rows)
        return given

    def execute_model(self: Any, scheduled: Any, intermediate_tensors: Any = None) -> Any:
        sites = _Process.sites
        if sites is None:
            return step(self, scheduled, intermediate_tensors)
        if intermediate_tensors is not None:
            tensors = intermediate_tensors.tensors
            sites.received = {name: tensors.pop(name) for name in [*tensors] if name.startswith("hopfix.")}
        given = step(self, scheduled, intermediate_tensors)
        if isinstance(given, IntermediateTensors):
            given.tensors.update(sites.carried())
        return given

    def sample_rows(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = sample(self, *args, **kwargs)
        if (sites := _Process.sites) is not None:
            sites.read_lenses(self.input_batch.req_id_to_index, given.sampled_token_ids)
        return given

    def sample_tokens(self: Any, *args: Any, **kwargs: Any) -> Any:
        last = self.execute_model_state is not None
        given = finish(self, *args, **kwargs)
        sites = _Process.sites
        if sites is not None and last and (news := sites.news()) is not None:
            setattr(getattr(given, "_model_runner_output", given), KEY, news)
        return given

    worker.execute_model = execute_worker  # type: ignore[attr-defined]
    for name, replaced in {
        "_prepare_inputs": prepare_inputs,
        "execute_model": execute_model,
        "_sample": sample_rows,
        "sample_tokens": sample_tokens,
    }.items():
        setattr(runner, name, replaced)


def _new(scheduled: Any) -> list[tuple[str, str, int, int]]:
    return [
        (new.req_id, text, new.prompt_len, new.num_computed_tokens)
        for new in scheduled.scheduled_new_reqs
        if (text := text_of(new.sampling_params)) is not None
    ]
