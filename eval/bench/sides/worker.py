"""What every side of the sweep benchmark shares: jobs on stdin, replies on stdout. Imports nothing of hopfix."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import platform
import re
import resource
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

ROWS, TOKENS = 64, 2048  # of one forward pass: at least so many rows, or more where prompts are short


@dataclass(frozen=True)
class Job:
    """N source and N target prompts as token ids, and the cells: every source layer into each of `target_layers`."""

    sources: torch.Tensor  # (N, S)
    targets: torch.Tensor  # (N, T)
    position: int
    max_tokens: int
    target_layers: tuple[int, ...]


class Side(ABC):
    """One way to compute the grid of a model with `layers` blocks; `once` is what a grid spent before its first cell,
    the seconds of it that do not grow with the number of cells."""

    layers: int
    once = 0.0

    @abstractmethod
    def warm_up(self, job: Job) -> None:
        """One cell or batch of the job, not timed: what a library compiles or caches on first use is not its speed."""

    @abstractmethod
    def grid(self, job: Job) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens, and margins or None, of every [question, source layer - 1, index of target layer, step]."""


class BatchedSide(Side):
    """A library's grid: every source state in one pass, then as many cells of one target layer as fit in a batch."""

    @abstractmethod
    def source_states(self, job: Job) -> torch.Tensor:
        """The states at the source prompts' last position after every block: (L, N, d)."""

    @abstractmethod
    def patched(self, prompts: torch.Tensor, states: torch.Tensor, layer: int, job: Job) -> torch.Tensor:
        """The (rows, max_tokens) tokens of the job's target prompts, repeated in order, with a state a row written."""

    def warm_up(self, job: Job) -> None:
        states = self.source_states(job)
        for layer in (job.target_layers[0], job.target_layers[-1]):
            self.patched(job.targets, states[0], layer, job)

    def grid(self, job: Job) -> tuple[torch.Tensor, None]:
        start = time.perf_counter()
        states = self.source_states(job).flatten(0, 1)
        self.once = time.perf_counter() - start
        prompts = job.targets.repeat(self.layers, 1)  # row = source layer, then question: the order of the states
        questions, length = job.targets.shape
        size = max(1, max(ROWS, TOKENS // length) // questions) * questions
        columns = []
        for layer in job.target_layers:
            parts = zip(prompts.split(size), states.split(size), strict=True)
            rows = torch.cat([self.patched(some, writes, layer, job) for some, writes in parts])
            columns.append(rows.unflatten(0, (self.layers, -1)).transpose(0, 1))
        return torch.stack(columns, dim=2), None


def load_model(folder: str) -> PreTrainedModel:
    """The model for inference, with no stop token, so that every side generates the same number of tokens."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.generation_config.pad_token_id = model.config.pad_token_id = 0
    return model.requires_grad_(False)


def placeholder_tokenizer() -> PreTrainedTokenizerFast:
    """For libraries that insist on a tokenizer: prompts are token ids already."""
    unknown = "<unk>"
    words = Tokenizer(models.WordLevel({unknown: 0}, unk_token=unknown))
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token=unknown, pad_token=unknown)


def greedy(prompts: torch.Tensor, max_tokens: int) -> dict[str, Any]:
    """Arguments of a greedy `generate` with a KV cache; the mask, because prompts have no padding to guess."""
    options = {"max_new_tokens": max_tokens, "do_sample": False, "use_cache": True}
    return {"input_ids": prompts, "attention_mask": torch.ones_like(prompts), **options}


def serve(make: Callable[[str], Side], *packages: str) -> None:
    """Answers jobs until stdin ends. `make` loads a side for a folder and imports its library, which may print."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sides: dict[str, tuple[Side, int]] = {}
    versions = {name: version(name) for name in ("torch", "transformers", *packages)}
    news: dict[str, Any] = {"versions": {"python": platform.python_version(), **versions}}
    for line in sys.stdin:
        try:
            reply = run(json.loads(line), sides, make) | news
            news = {}
        except Exception as problem:  # the next job may be fine
            traceback.print_exc()
            reply = {"error": f"{type(problem).__name__}: {problem}"}
        replies.write(json.dumps(reply) + "\n")


def run(job: dict[str, Any], sides: dict[str, tuple[Side, int]], make: Callable[[str], Side]) -> dict[str, Any]:
    """One job: load what is not loaded yet, then time the grid alone. `sides` keeps (side, resident size then)."""
    torch.set_num_threads(job["threads"])
    if (folder := job["model"]) not in sides:
        sides.clear()  # one model in memory at a time
        give_memory_back()
        side = make(folder)
        sides[folder] = side, memory_kb("VmRSS")
    side, loaded = sides[folder]
    layers = tuple(job.get("target_layers") or range(side.layers))
    work = Job(torch.tensor(job["sources"]), torch.tensor(job["targets"]), job["position"], job["max_tokens"], layers)
    with contextlib.suppress(OSError):  # Linux: the peak starts from here, without loading and earlier jobs
        Path("/proc/self/clear_refs").write_text("5")
    with torch.inference_mode():
        side.warm_up(work)
        start = time.perf_counter()
        tokens, margins = side.grid(work)
    seconds, peak = time.perf_counter() - start, max(0, memory_kb("VmHWM") - loaded) / 1024
    margins = torch.full(tokens.shape, torch.nan) if margins is None else margins
    np.savez(job["out"], tokens=tokens.numpy().astype(np.int32), margins=margins.numpy().astype(np.float32))
    return {"seconds": seconds, "once": side.once, "peak_mb": peak}


def give_memory_back() -> None:
    """So that what an earlier job left behind does not pass for the loaded model."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def memory_kb(field: str) -> int:
    """Resident size, VmRSS now or VmHWM at most. On Linux ru_maxrss would start at the parent process's size."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(rf"{field}:\s+(\d+)", status.read_text())):
        return int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
