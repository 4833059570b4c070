"""vLLM started with the plugin, beside the custom forward on the same weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from prometheus_client import REGISTRY
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from correction.engines import HFEngine
from correction.engines.vllm import LocalVLLM, VLLMEngine, engine_arguments
from correction.models import LoadedModel, load_model
from correction.passes import Pass, PassResult, Relay


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@dataclass
class Beside:
    """The same model on both engines."""

    runner: asyncio.Runner
    hf: HFEngine
    vllm: VLLMEngine

    @property
    def loaded(self) -> LoadedModel:
        return self.hf.loaded

    def ours(self, requests: Sequence[Pass]) -> list[PassResult]:
        """All at once on vLLM."""

        async def all_of() -> list[PassResult]:
            return await asyncio.gather(*(self.vllm.run(request) for request in requests))

        return self.runner.run(all_of())

    def theirs(self, requests: Sequence[Pass]) -> list[PassResult]:
        """All at once on the custom forward."""

        async def all_of() -> list[PassResult]:
            return await asyncio.gather(*(self.hf.run(request) for request in requests))

        return self.runner.run(all_of())

    def our_relays(self, relays: Sequence[tuple[Pass, Relay]]) -> list[tuple[PassResult, PassResult | None]]:
        """All at once on vLLM, each in one request."""

        async def all_of() -> list[tuple[PassResult, PassResult | None]]:
            return await asyncio.gather(*(self.vllm.relay(*relay) for relay in relays))

        return self.runner.run(all_of())

    def close(self) -> None:
        self.runner.run(self.vllm.close())
        self.runner.run(self.hf.close())


def start(runner: asyncio.Runner, model: str, given: dict[str, Any] | None = None) -> Beside:
    """Engine arguments as `hopfix serve --engine vllm` has them, with those given over them."""
    loaded = load_model(model, device="cpu", dtype="float32")
    known = load_model(model, dtype="float32", weights=False)  # as the engine has it: without the weights
    arguments = engine_arguments(known, on_cpu=True, alone=True, patches=True, given=given)
    beside = Beside(runner, HFEngine(loaded), VLLMEngine(known, LocalVLLM(arguments, on_cpu=True), patches=True))
    try:
        runner.run(beside.vllm.start())
    except BaseException:
        beside.close()
        raise
    return beside


def counted(name: str) -> float:
    """A counter of vLLM's own, over all that this process has started with `disable_log_stats=False`."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name == name)


@contextmanager
def stopping_often(beside: Beside, requests: Sequence[Pass]) -> Iterator[None]:
    """What passes say first after something else ends a pass: random weights would not come to an end by themselves."""
    loaded = (beside.hf.loaded, beside.vllm.loaded)
    before = [one.stop_tokens for one in loaded]
    said = [result.tokens for result in beside.theirs(requests)]
    stop = frozenset(next(token for token in tokens if token != tokens[0]) for tokens in said if len({*tokens}) > 1)
    for one in loaded:
        vars(one)["stop_tokens"] = stop
    try:
        yield
    finally:
        for one, old in zip(loaded, before, strict=True):
            vars(one)["stop_tokens"] = old


def configs(vocabulary: int) -> dict[str, PreTrainedConfig]:
    """Heads of 32 and more: vLLM's attention on a CPU takes no smaller ones."""
    shape: dict[str, Any] = {"vocab_size": vocabulary, "hidden_size": 128, "num_hidden_layers": 4}
    shape |= {"intermediate_size": 256, "num_attention_heads": 4, "max_position_embeddings": 256}
    shape |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    grouped = {**shape, "num_key_value_heads": 2}
    return {
        "llama": LlamaConfig(**grouped, tie_word_embeddings=True),
        "qwen3": Qwen3Config(**grouped, head_dim=32),
        # Scaled embeddings, capped logits, a window shorter than the prompts.
        "gemma2": Gemma2Config(**grouped, head_dim=32, sliding_window=16, query_pre_attn_scalar=32),
        "gpt_neox": GPTNeoXConfig(**shape, tie_word_embeddings=False),  # vLLM runs it on its Transformers backend
    }


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, demo: LoadedModel) -> dict[str, Path]:
    """Random-weight models with the demo's tokenizer."""
    folders = {}
    for name, config in configs(demo.shape.vocabulary).items():
        folders[name] = tmp_path_factory.mktemp("models") / name
        torch.manual_seed(0)
        _spread(AutoModelForCausalLM.from_config(config)).save_pretrained(folders[name])
        demo.tokenizer.save_pretrained(folders[name])
    return folders


def _spread(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough that states and tokens differ; the usual initialisation is not."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.2 / parameter.shape[-1] ** 0.5)
    scale = 1 if model.config.model_type != "gemma2" else model.config.hidden_size**-0.5
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=scale)
    return model
