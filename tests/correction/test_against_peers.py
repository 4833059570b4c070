"""The custom forward against other people's libraries, where they support an architecture.

Runs in the peers' environment (`make test-peers`). nnsight wraps any torch module, TransformerLens knows an
architecture or does not.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from correction.architecture import Blocks
from correction.forward import Row, generate, states
from correction.passes import Pass, Patch, Sampling
from tests.architectures import CONFIGS, random_weights

pytestmark = pytest.mark.peers

SOURCE, TARGET = (11, 12, 13, 14, 15, 16, 17), (20, 21, 22, 23, 24, 25, 26, 27)
LAYER, TO, POSITION = 2, 1, 5
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def patched(model: PreTrainedModel) -> tuple[Tensor, Row]:
    """Our captured state, and the pass that it was patched into."""
    parts = Blocks.of(model)
    (read,) = states(model, parts, [SOURCE], [LAYER], pad=0)
    state = read[0, -1]
    request = Pass(TARGET, patches=(Patch(TO, POSITION, state),), sampling=Sampling(4, 97))
    (row,) = generate(model, parts, [request], stop=frozenset(), pad=0)
    return state, row


def logprobs(row: Row) -> Tensor:
    return torch.tensor([probability for _, probability in sorted(row.top[0])]).log()


def path_of(model: PreTrainedModel, module: nn.Module) -> list[str]:
    return next(name for name, found in model.named_modules() if found is module).split(".")


def hidden(given: Any) -> Any:
    """A block gives a tensor, or a tuple that begins with it."""
    return given[0] if isinstance(given, tuple) else given


def test_nnsight(random_model: PreTrainedModel) -> None:
    """The captured state, the patched logits and the greedy tokens."""
    from nnsight import NNsight

    state, row = patched(random_model)
    wrapped = NNsight(random_model)
    blocks = reduce(getattr, path_of(random_model, Blocks.of(random_model).blocks), wrapped)
    with torch.no_grad():
        with wrapped.trace(input_ids=torch.tensor([SOURCE]), use_cache=False):
            given = blocks[LAYER - 1].output
            theirs = given.save()
        torch.testing.assert_close(hidden(theirs)[0, -1], state, **TOLERANCE)
        said = list(TARGET)
        for step in range(4):
            with wrapped.trace(input_ids=torch.tensor([said]), use_cache=False):
                blocks[TO].input[:, POSITION] = state
                logits = wrapped.output.logits[0, -1].save()
            if step == 0:
                torch.testing.assert_close(logprobs(row), logits.log_softmax(-1), **TOLERANCE)
            said.append(int(logits.argmax()))
    assert said[len(TARGET) :] == row.tokens


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"falcon_alibi"}))  # its bridge leaves Falcon's ALiBi out
def test_transformer_lens(name: str, tmp_path: Path) -> None:
    """The captured state, the patched logits and the greedy tokens through its bridge's hooks."""
    from transformer_lens.model_bridge import TransformerBridge

    model = random_weights(name)
    state, row = patched(model)
    model.save_pretrained(tmp_path)
    unknown = "<unk>"
    words = Tokenizer(models.WordLevel({unknown: 0}, unk_token=unknown))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token=unknown, pad_token=unknown)
    bridge = TransformerBridge.boot_transformers(str(tmp_path), hf_model=model, tokenizer=tokenizer)

    def overwrite(resid: Tensor, hook: Any) -> Tensor:
        resid[:, POSITION] = state
        return resid

    with torch.no_grad():
        hook_out = f"blocks.{LAYER - 1}.hook_out"
        _, cache = bridge.run_with_cache(torch.tensor([SOURCE]), names_filter=[hook_out])
        torch.testing.assert_close(cache[hook_out][0, -1], state, **TOLERANCE)
        said = list(TARGET)
        for step in range(4):
            hooks = [(f"blocks.{TO}.hook_in", overwrite)]
            logits = bridge.run_with_hooks(torch.tensor([said]), fwd_hooks=hooks)[0, -1]
            if step == 0:
                torch.testing.assert_close(logprobs(row), logits.log_softmax(-1), **TOLERANCE)
            said.append(int(logits.argmax()))
    assert said[len(TARGET) :] == row.tokens
