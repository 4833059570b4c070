"""Patched continuations of a prompt side by side in one row, kept apart by the mask. See `correction.grid`."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from correction.architecture import Blocks
from correction.errors import HopfixError, PatchNotApplied, UnsupportedModel
from correction.forward import generate
from correction.hooks import EMBEDDING, giving, skipping, visiting
from correction.mappings import IDENTITY, Mapping
from correction.memory import out_of_memory
from correction.passes import Pass, Sampling
from correction.trunk import PLACED, Trunk

_CHECKED: WeakSet[PreTrainedModel] = WeakSet()  # models whose branches equal their own forward
_TOLERANCE = 1e-3  # of a token's log-probability; half precision gets more


def check_branches(model: PreTrainedModel, parts: Blocks, pad: int) -> None:
    """For a model's first time: branches that change nothing must say what the plain path says, over two tokens.

    Raises `UnsupportedModel` if they do not, or if the model's forward cannot be entered at all.
    """
    if model in _CHECKED:
        return
    if model.config.is_encoder_decoder:
        raise UnsupportedModel("branches need a decoder")
    try:
        wrong = _differs(model, parts, pad)
    except HopfixError:
        raise
    except Exception as error:  # whatever an architecture nobody has seen makes of it
        if out_of_memory(error):
            raise
        raise UnsupportedModel(f"{type(model).__name__} cannot branch", hint=repr(error)) from error
    if wrong:
        raise UnsupportedModel(f"branches of {type(model).__name__} do not equal its own forward")
    _CHECKED.add(model)


def _differs(model: PreTrainedModel, parts: Blocks, pad: int) -> bool:
    """Two branches of each of two prompts, entered at the first and at a middle layer, against the plain path."""
    ids = model.get_input_embeddings().weight.shape[0]
    prompts = [tuple((7 * n + 3) % ids for n in range(24)), tuple((5 * n + 1) % ids for n in range(9))]
    trunk = Trunk.of(model, parts, prompts, [20, 4], 2, pad)
    rows = torch.arange(len(prompts), device=trunk.tokens.device)
    plain = generate(model, parts, [Pass(p, sampling=Sampling(2, 0)) for p in prompts], stop=frozenset(), pad=pad)
    expected = torch.tensor([row.logprobs for row in plain])
    tolerance = _TOLERANCE if trunk.states[0].dtype == torch.float32 else 50 * _TOLERANCE
    for layer in {0, parts.depth // 2}:
        own = trunk.states[layer][rows, trunk.sites.to(trunk.states[layer].device)]
        branches = Branches(trunk, torch.stack([own, own], dim=1), IDENTITY, parts)
        _, logprobs, _ = branches.generate(layer, frozenset())
        largest = (logprobs.cpu() - expected[:, None]).abs().max().item()
        if not largest <= tolerance:  # nor where it is undefined
            return True
    return False


class Branches:
    """`states` (rows, branches, width) of each trunk row, patched alone into copies of its tail."""

    def __init__(self, trunk: Trunk, states: Tensor, mapping: Mapping, origin: Blocks) -> None:
        self.trunk = trunk
        self.states = states
        self.mapping = mapping
        self.origin = origin
        self.count = states.shape[1]
        self._given: dict[int, dict[int, dict[str, Tensor]]] = {}
        device = trunk.tokens.device
        # Where each branch token stands: its branch, and its column in the trunk's order.
        tail = torch.arange(trunk.columns - trunk.tail, trunk.columns, device=device)
        self._tail_branch = torch.arange(self.count, device=device).repeat_interleave(trunk.tail)
        self._tail_column = tail.repeat(self.count)

    def generate(self, layer: int, stop: frozenset[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, log-probabilities and margins, (rows, branches, generated), patched at that layer."""
        trunk = self.trunk
        steps = trunk.mask.shape[1] - trunk.columns
        cache = _BranchCache(trunk, keep=steps > 1)
        logits = self.enter(layer, cache)
        if steps > 1:
            cache.fill(layer, self.count)
        done = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
        ends = torch.tensor(sorted(stop), device=logits.device, dtype=torch.long)
        said: list[tuple[Tensor, Tensor, Tensor]] = []
        while True:
            best = logits.float().log_softmax(-1).topk(2)
            token, logprob = best.indices[..., 0], best.values[..., 0]
            done = done | torch.isin(token, ends)
            said.append((token.masked_fill(done, -1), logprob.masked_fill(done, 0.0), logprob - best.values[..., 1]))
            if len(said) == steps or bool(done.all()):
                tokens, logprobs, margins = (torch.stack(part, dim=-1) for part in zip(*said, strict=True))
                return tokens, logprobs, margins
            logits = self._step(token, len(said), cache)

    def enter(self, layer: int, cache: _BranchCache) -> Tensor:
        """The first step: the model's own forward from `layer` on, over the tails."""
        trunk = self.trunk
        rows = torch.arange(len(trunk.tokens), device=trunk.tokens.device)
        sites = trunk.sites[:, None] + torch.arange(self.count, device=rows.device) * trunk.tail
        in_embedding = layer == 0 and self.mapping.embeds
        applied: list[bool] = []

        def patch(hidden: Tensor) -> Tensor:
            applied.append(True)
            if not in_embedding:
                hidden = trunk.states[layer].to(hidden.device).repeat(1, self.count, 1)
            replaced = hidden[rows[:, None], sites].flatten(0, 1)
            source = self.states.flatten(0, 1).to(hidden)
            written = self.mapping(source, replaced, self.origin, trunk.parts)
            hidden = hidden.clone()
            hidden[rows[:, None], sites] = written.to(hidden).view(*sites.shape, -1)
            return hidden

        with (
            skipping(trunk.parts, range(layer), as_tuple=trunk.as_tuple),
            visiting(trunk.parts, {EMBEDDING if in_embedding else layer: patch}),
        ):
            tokens = trunk.tokens[:, -trunk.tail :].repeat(1, self.count)
            ends = torch.arange(trunk.tail - 1, tokens.shape[1], trunk.tail, device=tokens.device)
            logits = self._forward(tokens, 0, cache, ends)
        if not applied:  # an embedding that the model does not run, say
            raise PatchNotApplied(f"no patch of the grid was applied at layer {layer}")
        return logits

    def _step(self, tokens: Tensor, step: int, cache: _BranchCache) -> Tensor:
        return self._forward(tokens, step, cache, torch.arange(self.count, device=tokens.device))

    def _forward(self, tokens: Tensor, step: int, cache: _BranchCache, ends: Tensor) -> Tensor:
        """Logits at the columns `ends` of a step's branch tokens: the tails in step 0, a token a branch after."""
        trunk = self.trunk
        branch, column = self._layout(step)
        queries = column[-tokens.shape[1] :]
        if step not in self._given:
            self._given[step] = self._give(branch, column, tokens.shape[1])
        prefix = trunk.mask[:, : trunk.columns - trunk.tail]
        with giving(trunk.parts, lambda index, _: self._given[step][index]):
            output = trunk.model(
                input_ids=tokens,
                attention_mask=torch.nn.functional.pad(prefix, (0, len(column)), value=1),
                position_ids=trunk.positions[:, queries],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=ends,
            )
        logits: Tensor = output.logits
        return logits

    def _layout(self, step: int) -> tuple[Tensor, Tensor]:
        """Branch and column of every key after the prefix, in the cache's order: tails, then a token each a step."""
        device = self._tail_branch.device
        branches, columns = [self._tail_branch], [self._tail_column]
        for number in range(step):
            branches.append(torch.arange(self.count, device=device))
            columns.append(torch.full((self.count,), self.trunk.columns + number, device=device))
        return torch.cat(branches), torch.cat(columns)

    def _give(self, branch: Tensor, column: Tensor, queries: int) -> dict[int, dict[str, Tensor]]:
        """By block, its mask and ALiBi bias for these tokens: a branch sees the prefix and itself."""
        trunk = self.trunk
        prefix = torch.arange(trunk.columns - trunk.tail, device=column.device)
        keys = torch.cat([prefix, column])
        own = torch.cat([torch.full_like(prefix, -1), branch])
        apart = (own != -1) & (own != branch[-queries:, None])
        made: dict[int, Tensor] = {}  # blocks share their masks
        given: dict[int, dict[str, Tensor]] = {}
        for index, places in enumerate(trunk.places):
            given[index] = {}
            for name, whole in places.items():
                if id(whole) not in made:
                    value = whole[..., keys.to(whole.device)]
                    if PLACED[name][0] is not None:
                        value = value[..., column[-queries:].to(whole.device), :]
                        blocked = False if value.dtype == torch.bool else torch.finfo(value.dtype).min
                        value = value.masked_fill(apart.to(whole.device), blocked)
                    made[id(whole)] = value
                given[index][name] = made[id(whole)]
        return given


class _BranchLayer(DynamicLayer):  # type: ignore[misc]
    """One block's keys and values: the trunk's prefix, shared and never changed, then the branches' own."""

    def __init__(self, keys: Tensor, values: Tensor, keep: bool) -> None:
        super().__init__()
        self.prefix = (keys, values)
        self.own: tuple[Tensor, Tensor] = (keys[:, :, :0], values[:, :, :0])
        self.keep = keep

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        own = tuple(torch.cat(pair, dim=-2) for pair in zip(self.own, (key_states, value_states), strict=True))
        if self.keep:
            self.own = (own[0], own[1])
        return torch.cat([self.prefix[0], own[0]], dim=-2), torch.cat([self.prefix[1], own[1]], dim=-2)

    def get_seq_length(self) -> int:
        return self.prefix[0].shape[-2] + self.own[0].shape[-2]


class _BranchCache(Cache):  # type: ignore[misc]
    def __init__(self, trunk: Trunk, keep: bool) -> None:
        self.trunk = trunk
        split = trunk.columns - trunk.tail
        super().__init__(
            layers=[
                _BranchLayer(keys[:, :, :split], values[:, :, :split], keep)
                for keys, values in zip(trunk.keys, trunk.values, strict=True)
            ]
        )

    def fill(self, layer: int, count: int) -> None:
        """Gives the blocks below `layer`, which the branches did not run, the trunk's keys and values of the tail."""
        split = self.trunk.columns - self.trunk.tail
        for index in range(layer):
            own = (self.trunk.keys[index], self.trunk.values[index])
            keys, values = (whole[:, :, split:].repeat(1, 1, count, 1) for whole in own)
            self.layers[index].own = (keys, values)
