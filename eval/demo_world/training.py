"""Training of a demo model: a small decoder on the sentences of a world, resumable, the same from the same seed.

Layer drop (a random block left out in some steps) makes every layer's state readable by the head, so that a bridge can
be read before the last layer; it also makes training cheaper.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from correction.architecture import Blocks
from correction.errors import InvalidInput
from eval.demo_world.corpus import Sentence, sentences
from eval.demo_world.world import World

SIZES = {"tiny": (4, 96, 4, 288), "small": (6, 128, 4, 384), "medium": (8, 160, 5, 480)}
ARCHITECTURES = ("llama", "gpt_neox", "qwen3")
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    arch: str = "llama"
    size: str = "small"
    seed: int = 0
    steps: int = 3000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    chain_share: float = 0.5
    layer_drop: float = 0.1


# Of a generated world, by the model's size. It is smaller than the true one, but disputed facts make a model hedge on
# the others, too: many steps of small batches, and fewer chains, are against that. More layer drop makes bridges
# readable earlier.
GENERATED = {
    "tiny": Recipe(size="tiny", steps=900, batch=64, layer_drop=0.2),
    "small": Recipe(size="small", steps=4400, batch=64, chain_share=0.35, layer_drop=0.2),
    "medium": Recipe(size="medium", steps=4400, batch=64, chain_share=0.35, layer_drop=0.2),
}


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A model with random weights, drawn from the recipe's seed."""
    layers, width, heads, inner = SIZES[recipe.size]
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 256,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config: LlamaConfig | GPTNeoXConfig | Qwen3Config
    if recipe.arch == "llama":
        config = LlamaConfig(**shape, tie_word_embeddings=True)
    elif recipe.arch == "qwen3":
        config = Qwen3Config(**shape, num_key_value_heads=heads, head_dim=width // heads, tie_word_embeddings=True)
    elif recipe.arch == "gpt_neox":
        config = GPTNeoXConfig(**shape, tie_word_embeddings=False)
    else:
        raise ValueError(f"unknown architecture {recipe.arch!r}: choose one of {', '.join(ARCHITECTURES)}")
    torch.manual_seed(recipe.seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.float()


def encode(tokenizer: PreTrainedTokenizerFast, batch: list[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, labels and whether a label belongs to the answer: each (rows, tokens), right-padded."""
    rows: list[tuple[list[int], int]] = []
    texts = [text for prompt, answer in batch for text in (prompt, f"{prompt} {answer}")]
    ids = tokenizer(texts)["input_ids"]
    for prompt_ids, all_ids in zip(ids[::2], ids[1::2], strict=True):
        rows.append(([*all_ids, tokenizer.eos_token_id], len(prompt_ids)))
    width = max(len(row) for row, _ in rows)
    inputs = torch.full((len(rows), width), int(tokenizer.pad_token_id))
    labels = torch.full((len(rows), width), IGNORED)
    answer = torch.zeros((len(rows), width), dtype=torch.bool)
    for number, (row, prompt_length) in enumerate(rows):
        inputs[number, : len(row)] = torch.tensor(row)
        labels[number, : len(row) - 1] = torch.tensor(row[1:])
        answer[number, prompt_length - 1 : len(row) - 1] = True
    return inputs, labels, answer


def train(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    save_every: int = 250,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> PreTrainedModel:
    """Trains from scratch, or on from the checkpoint file if there is one of the same recipe and world."""
    made_of = {**asdict(recipe), "world": world.identity}
    model = new_model(recipe, tokenizer).to(device)
    model.train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    start = _resume(checkpoint, made_of, model, optimizer)
    chains = world.split_chains()["train"]
    stream = sentences(world, chains, recipe.chain_share, random.Random(f"sentences {recipe.seed}"))
    batches = _batches(stream, recipe)
    for _ in islice(batches, start):
        pass  # what was trained before the interruption
    dropped = _LayerDrop(model, recipe)
    for step in range(start, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe.steps)
        inputs, labels, answer = (t.to(device) for t in encode(tokenizer, next(batches)))
        with dropped(step):
            hidden = model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        # The answers' loss alone: the names that prompts begin with cannot be predicted, only the head's time be spent.
        loss = nn.functional.cross_entropy(model.get_output_embeddings()(hidden[answer]).float(), labels[answer])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        on_step(step + 1, float(loss.detach()))
        if checkpoint is not None and (step + 1) % save_every == 0:
            _save(checkpoint, made_of, model, optimizer, step + 1)
    return model.eval()


def _batches(stream: Iterator[Sentence], recipe: Recipe, pool: int = 16) -> Iterator[list[Sentence]]:
    """Batches of sentences of like length, so that little is padding; a pool of batches is sorted at a time."""
    rng = random.Random(f"batches {recipe.seed}")
    while True:
        drawn = sorted(islice(stream, pool * recipe.batch), key=lambda sentence: len(sentence[0]) + len(sentence[1]))
        batches = [drawn[start : start + recipe.batch] for start in range(0, len(drawn), recipe.batch)]
        yield from rng.sample(batches, len(batches))


class _LayerDrop:
    """Leaves out blocks of a step's pass, each with the recipe's probability, and puts them back afterwards."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe) -> None:
        self.blocks = Blocks.of(model).blocks
        self.all = list(self.blocks)
        self.recipe = recipe
        self.rng = random.Random()

    def __call__(self, step: int) -> _LayerDrop:
        self.rng.seed(f"layer drop {self.recipe.seed} {step}")
        return self

    def __enter__(self) -> None:
        kept = [block for block in self.all if self.rng.random() >= self.recipe.layer_drop] or self.all
        self._set(kept)

    def __exit__(self, *_: object) -> None:
        self._set(self.all)

    def _set(self, blocks: list[nn.Module]) -> None:
        self.blocks._modules = {str(number): block for number, block in enumerate(blocks)}


def _schedule(step: int, steps: int, warm_up: int = 100) -> float:
    """Linear warm-up, then a cosine down to 2 %."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def _save(path: Path, made_of: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    partial = path.with_suffix(".partial")
    state = {"recipe": made_of, "step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path | None, made_of: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if path is None or not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != made_of:
        raise InvalidInput(
            f"{path} belongs to another recipe ({state['recipe']})",
            hint="remove it, or choose another folder",
            param="out",
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


@torch.inference_mode()
def exact(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch: list[Sentence], rows: int = 512
) -> list[bool]:
    """Whether greedy decoding would give each answer and stop: every answer token is the likeliest, teacher-forced."""
    right: list[bool] = []
    for start in range(0, len(batch), rows):
        inputs, labels, answer = (t.to(model.device) for t in encode(tokenizer, batch[start : start + rows]))
        predicted = model(input_ids=inputs, use_cache=False).logits.argmax(-1)
        right += ((predicted == labels) | ~answer).all(1).tolist()
    return right
