"""By what the blocks of a prompt are known in the prefix cache, beside their tokens and the blocks before them."""

from __future__ import annotations

import json
import random

import pytest
import torch

from correction.engines.vllm.wire import to_text
from correction.engines.vllm_plugin.keys import Keys
from correction.mappings import MAPPINGS, TOKEN
from correction.passes import Capture, Pass, Patch

BLOCK = 16
LENGTH = 5 * BLOCK + 3
PROMPT = tuple(range(3, 3 + LENGTH))
STATE = torch.linspace(-1, 1, 8)


def keys(request: Pass, length: int = LENGTH) -> list[tuple[tuple[str, str], ...]]:
    """Of each block, the last and not yet full one included."""
    text = to_text(request)
    assert text is not None
    return [Keys.of(text, length).of_block(start, start + BLOCK) for start in range(0, length, BLOCK)]


def known(request: Pass) -> tuple[tuple[str, str], ...]:
    """By what the whole prompt is known: a block is known by the blocks before it, too."""
    return tuple(key for block in keys(request) for key in block)


def marked(request: Pass) -> list[int]:
    return [number for number, block in enumerate(keys(request)) if block]


def at(*positions: int, layer: int = 2) -> Pass:
    return Pass(PROMPT, patches=tuple(Patch(layer, position, STATE) for position in positions))


@pytest.mark.parametrize(
    ("position", "block"),
    [(0, 0), (BLOCK - 1, 0), (BLOCK, 1), (3 * BLOCK + 7, 3), (LENGTH - 1, 5), (-1, 5), (-LENGTH, 0), (-4, 4)],
)
def test_a_patch_marks_the_block_in_which_it_is(position: int, block: int) -> None:
    assert marked(at(position)) == [block]


def test_of_several_patches_the_first_position_marks_its_block() -> None:
    assert marked(at(70, 20, 50)) == [1]
    assert marked(at(-1, 20)) == [1]
    assert marked(at(-LENGTH + 5, 20)) == [0]


def test_a_block_of_generated_tokens_has_no_key_of_its_own() -> None:
    text = to_text(at(-1))
    assert text is not None
    assert Keys.of(text, LENGTH).of_block(5 * BLOCK, 6 * BLOCK)
    assert Keys.of(text, LENGTH).of_block(6 * BLOCK, 7 * BLOCK) == ()


def test_an_exit_marks_the_first_block_and_only_its_layer_tells_exits_apart() -> None:
    assert marked(Pass(PROMPT, exit=2)) == [0]
    assert known(Pass(PROMPT, exit=2)) == known(Pass(PROMPT, exit=2, captures=(Capture(1),), lens=1))
    assert known(Pass(PROMPT, exit=2)) != known(Pass(PROMPT, exit=3))


def test_an_exit_with_a_patch_marks_both_places() -> None:
    patched = at(40)
    both = Pass(PROMPT, patches=patched.patches, exit=4)
    assert marked(both) == [0, 2]
    assert known(both) not in (known(patched), known(Pass(PROMPT, exit=4)))


def test_what_only_reads_shares_with_everyone() -> None:
    assert known(Pass(PROMPT, (Capture(1), Capture(2, 5), Capture(0, -1, follow=True)), lens=3)) == ()


def test_equal_patches_agree_and_others_differ() -> None:
    nudged = STATE.clone()
    nudged[0] += 1e-6
    others = [
        at(40),
        at(41),
        at(40, layer=3),
        at(40, 41),
        Pass(PROMPT, patches=(Patch(2, 40, nudged),)),
        Pass(PROMPT, patches=(Patch(2, 40, -STATE),)),
        *(Pass(PROMPT, patches=(Patch(2, 40, STATE, mapping),)) for mapping in MAPPINGS.values()),
        *(Pass(PROMPT, patches=(Patch(2, 40, torch.tensor([token]), TOKEN),)) for token in (7, 8)),
    ]
    assert len({known(request) for request in others}) == len(others) - 1  # identity is there twice
    assert known(at(40)) == known(at(40)) == known(Pass(PROMPT, patches=(Patch(2, 40, STATE.clone()),)))


def test_random_pairs_share_exactly_the_blocks_before_a_patch() -> None:
    """Two requests with one prompt may have a block in common if no block up to it tells them apart."""
    rng = random.Random(0)
    for _ in range(300):
        one, other = (at(*rng.sample(range(LENGTH), rng.choice([1, 2]))) for _ in range(2))
        first = min(patch.position for request in (one, other) for patch in request.patches)
        pairs = zip(keys(one), keys(other), strict=True)
        shared = next((number for number, (a, b) in enumerate(pairs) if a != b), None)
        if to_text(one) == to_text(other):
            assert shared is None
        else:
            assert shared == first // BLOCK


def test_keys_are_plain_text() -> None:
    """vLLM hashes them, and sends them as JSON with its cache events."""
    for request in (at(3), Pass(PROMPT, exit=1)):
        for block in keys(request):
            assert json.loads(json.dumps(block)) == [[*key] for key in block]
