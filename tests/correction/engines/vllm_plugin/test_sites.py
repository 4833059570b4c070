"""The sites of a batch, step by step, on a stand-in for vLLM's model: what is read, written and left out, and told.

The stand-in's block k gives twice what it receives plus k; it has no attention, so the state of a token depends on no
other and can be computed here beforehand. `Run` is what the worker's hooks do with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from correction.engines.vllm.wire import outline, report_of, to_text, unpacked
from correction.engines.vllm_plugin.scheduler import News, _Open, _tell
from correction.engines.vllm_plugin.sites import Sites
from correction.hooks import EMBEDDING
from correction.mappings import MAPPINGS, TOKEN, mapping_named
from correction.passes import Capture, Pass, Patch

DEPTH, WIDTH, VOCABULARY, SCALE = 4, 6, 50, 3.0
TABLE = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0))


class StandIn:
    """For `VLLMParts`: a model small enough to be computed by hand."""

    depth, width, vocabulary, scale = DEPTH, WIDTH, VOCABULARY, SCALE
    dtype, device = torch.float32, torch.device("cpu")

    def predict(self, states: Tensor) -> Tensor:
        return states @ TABLE.T / 100  # so that no token is certain

    own_logits = predict

    def lookup(self, tokens: Tensor) -> Tensor:
        return SCALE * TABLE[tokens]

    def mix(self, probabilities: Tensor) -> Tensor:
        return SCALE * (probabilities @ TABLE)


def clean(token: int, layer: int) -> Tensor:
    """The state of a token that nobody has touched."""
    return rest_of_the_way(SCALE * TABLE[token], 0, layer)


def rest_of_the_way(state: Tensor, begin: int, end: int) -> Tensor:
    """What becomes of a state of layer `begin` at layer `end`."""
    for index in range(begin, end):
        state = 2 * state + index
    return state


class Run:
    """Requests on stages of the stand-in, one stage or the two of a pipeline. Tokens of a request are its prompt and
    100 more, of which a test decides how many are run."""

    def __init__(self, *requests: Pass, cached: Sequence[int] = (), stages: int = 1, fused: bool = False) -> None:
        self.tokens = {str(n): [*r.prompt, *range(VOCABULARY), *range(VOCABULARY)] for n, r in enumerate(requests)}
        self.waiting = {str(n): _Open(outline(str(to_text(r)))) for n, r in enumerate(requests) if not r.plain}
        self.stages = [Sites(StandIn()) for _ in range(stages)]  # type: ignore[arg-type]
        self.fused = fused
        self.blocks: list[int] = []  # those that ran in the last step
        self.lost = False  # the hooks of the model are gone
        hits = [*cached, *(0 for _ in requests)]
        new = [(str(n), to_text(r), len(r.prompt), hits[n]) for n, r in enumerate(requests)]
        for sites in self.stages:
            sites.admit([(name, text, *numbers) for name, text, *numbers in new if text is not None], [])

    def step(self, *rows: tuple[int, int, int], sampled: int | None = None) -> Tensor:
        """Runs tokens [begin, end) of each (request, begin, end) in one batch; the final state of each row."""
        self.blocks, self.news = [], None
        named = [(str(request), begin, end) for request, begin, end in rows]
        hidden = torch.stack([TABLE[self.tokens[name][p]] for name, begin, end in named for p in range(begin, end)])
        residual, carried = None, {}
        for number, sites in enumerate(self.stages):
            sites.received = carried
            sites.plan([(name, begin, end - begin) for name, begin, end in named])
            visit = (lambda *_: None) if self.lost else sites.visit
            if number == 0:
                visit(EMBEDDING, hidden, None)
                hidden = SCALE * hidden
                visit(0, hidden, None)
            for index in range(number * DEPTH // len(self.stages), (number + 1) * DEPTH // len(self.stages)):
                if sites.step is None or sites.step.skip is None or index < sites.step.skip:
                    self.blocks.append(index)
                    whole = 2 * (hidden if residual is None else hidden + residual) + index
                    hidden, residual = (whole - 5, torch.full_like(whole, 5.0)) if self.fused else (whole, None)
                visit(index + 1, hidden, residual)
            if sites is not self.stages[-1]:
                carried = sites.carried()
        if sampled is not None:
            tokens = torch.full((len(named), 1), sampled)
            self.stages[-1].read_lenses({name: row for row, (name, _, _) in enumerate(named)}, tokens)
        self.news = self.stages[-1].news()
        if self.news is not None:
            _tell(self.waiting, self.news)
        return hidden if residual is None else hidden + residual

    def read(self, request: int = 0) -> dict[tuple[int, int], Tensor]:
        """(capture, position) -> state, so far."""
        return {
            (index, position): torch.from_numpy(np.array(state))
            for index, read in self.waiting[str(request)].states.items()
            for position, state in read.items()
        }

    def report(self, request: int = 0, steps: int = 1) -> Any:
        return report_of(self.waiting[str(request)].report(steps))


def assert_states(given: dict[tuple[int, int], Tensor], expected: dict[tuple[int, int], Tensor]) -> None:
    assert given.keys() == expected.keys()
    for key, state in expected.items():
        torch.testing.assert_close(given[key], state)


PROMPT = (11, 12, 13, 14, 15, 16, 17)
STATE = torch.linspace(-2, 2, WIDTH)


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7])
def test_a_prompt_in_chunks_gives_what_it_gives_at_once(chunk: int) -> None:
    request = Pass(
        PROMPT,
        (Capture(0, 0), Capture(3, 3), Capture(2, -1), Capture(4, -2)),
        (Patch(1, 2, STATE), Patch(2, -2, -STATE), Patch(0, 6, torch.tensor([9]), TOKEN)),
    )
    run = Run(request)
    for begin in range(0, len(PROMPT), chunk):
        run.step((0, begin, min(begin + chunk, len(PROMPT))))
    expected = {
        (0, 0): clean(11, 0),
        (1, 3): clean(14, 3),
        (2, 6): clean(9, 2),  # as if its token were another
        (3, 5): rest_of_the_way(-STATE, 2, 4),
    }
    assert_states(run.read(), expected)
    assert run.report().patched == 3


def test_a_patch_and_a_capture_may_be_in_different_chunks_of_several_requests() -> None:
    """Rows of a batch are counted from its first one, whoever is before."""
    one = Pass(PROMPT, (Capture(2, 6),), (Patch(1, 0, STATE),))
    two = Pass(PROMPT[::-1], (Capture(1, 1),), (Patch(3, 5, -STATE),))
    run = Run(one, Pass(PROMPT), two)
    final = [
        run.step((1, 0, 2), (0, 0, 3), (2, 0, 2)),
        run.step((2, 2, 6), (1, 2, 7), (0, 3, 5)),
        run.step((0, 5, 7), (2, 6, 7)),
    ]
    torch.testing.assert_close(final[0][2], rest_of_the_way(STATE, 1, DEPTH))
    torch.testing.assert_close(final[1][3], rest_of_the_way(-STATE, 3, DEPTH))
    untouched = [final[0][:2], final[0][3:], final[1][:3], final[1][4:], final[2]]
    tokens = [[11, 12], [12, 13, 17, 16], [15, 14, 13], [13, 14, 15, 16, 17, 14, 15], [16, 17, 11]]
    for rows, names in zip(untouched, tokens, strict=True):
        torch.testing.assert_close(rows, torch.stack([clean(token, DEPTH) for token in names]))
    assert_states(run.read(0), {(0, 6): clean(17, 2)})
    assert_states(run.read(2), {(0, 1): clean(16, 1)})
    assert (run.report(0).patched, run.report(2).patched) == (1, 1)


def test_what_is_followed_is_read_at_every_token_that_is_fed_back() -> None:
    run = Run(Pass(PROMPT, (Capture(2, -1, follow=True), Capture(1, 6))), Pass((5,)))
    run.step((0, 0, 7), (1, 0, 1))
    for position in range(7, 10):
        run.step((1, position - 6, position - 5), (0, position, position + 1))
    tokens = [PROMPT[-1], 0, 1, 2]  # the first that were generated
    expected = {(0, 6 + n): clean(token, 2) for n, token in enumerate(tokens)}
    assert_states(run.read(), {**expected, (1, 6): clean(17, 1)})
    # The last step ran ahead of a stop after the third token.
    followed, once = run.report(steps=3).states
    torch.testing.assert_close(unpacked(followed), torch.stack([clean(token, 2) for token in tokens[:3]]))
    assert once.shape == (1, WIDTH)


def test_after_its_last_site_a_request_costs_nothing() -> None:
    run = Run(Pass(PROMPT, (Capture(1, 2),), (Patch(2, 4, STATE),)))
    run.step((0, 0, 5))
    assert run.report().patched == 1
    run.step((0, 5, 7))
    assert run.news is None
    assert run.stages[0].step is None


def test_a_layer_is_read_after_it_was_written() -> None:
    captures = tuple(Capture(layer, 1) for layer in range(DEPTH + 1))
    run = Run(Pass(PROMPT, captures, (Patch(2, 1, STATE),)))
    run.step((0, 0, 7))
    expected = {(layer, 1): clean(12, layer) for layer in (0, 1)}
    expected |= {(layer, 1): rest_of_the_way(STATE, 2, layer) for layer in (2, 3, 4)}
    assert_states(run.read(), expected)


def test_a_request_may_read_a_site_twice_and_the_last_layer_too() -> None:
    run = Run(Pass(PROMPT, (Capture(DEPTH, -1), Capture(DEPTH, 6), Capture(DEPTH))))
    run.step((0, 0, 7))
    assert_states(run.read(), {(n, 6): clean(17, DEPTH) for n in range(3)})


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MAPPINGS, "hard_token+norm_matched", "vocabulary+added", "identity+norm_matched"])
@pytest.mark.parametrize("layer", [0, 2, DEPTH])
def test_a_mapping_gives_here_what_it_gives_by_itself(name: str, layer: int) -> None:
    mapping, parts = mapping_named(name), StandIn()
    given: Any = parts
    run = Run(Pass(PROMPT, (Capture(layer, 1),), (Patch(layer, 1, STATE, mapping),)))
    run.step((0, 0, 7))
    expected = mapping(STATE.unsqueeze(0), clean(12, layer).unsqueeze(0), given, given)[0]
    assert_states(run.read(), {(0, 1): expected})


def test_requests_with_the_same_mapping_are_mapped_each_for_itself() -> None:
    states = [STATE, -STATE, STATE.flip(0)]
    run = Run(*(Pass(PROMPT, patches=(Patch(1, n, state, MAPPINGS["added"]),)) for n, state in enumerate(states)))
    final = run.step((2, 0, 7), (0, 0, 7), (1, 0, 7)).reshape(3, 7, WIDTH)
    for row, number in enumerate([2, 0, 1]):
        patched = rest_of_the_way(clean(PROMPT[number], 1) + states[number], 1, DEPTH)
        for position, token in enumerate(PROMPT):
            torch.testing.assert_close(final[row, position], patched if position == number else clean(token, DEPTH))


def test_a_residual_is_part_of_what_is_read_and_gone_from_what_is_written() -> None:
    """Blocks of vLLM return two tensors whose sum is the state."""
    request = Pass(PROMPT, (Capture(3, 4), Capture(2, 1)), (Patch(2, 1, STATE), Patch(3, 2, STATE, MAPPINGS["added"])))
    run = Run(request, fused=True)
    final = run.step((0, 0, 7))
    assert_states(run.read(), {(0, 4): clean(15, 3), (1, 1): STATE})
    torch.testing.assert_close(final[1], rest_of_the_way(STATE, 2, DEPTH))
    torch.testing.assert_close(final[2], rest_of_the_way(clean(13, 3) + STATE, 3, DEPTH))
    hidden, residual = torch.ones(7, WIDTH), torch.full((7, WIDTH), 4.0)
    run.stages[0].plan([("0", 0, 7)])
    run.stages[0].visit(2, hidden, residual)
    assert torch.equal(hidden[1], STATE)
    assert residual[1].count_nonzero() == 0
    assert (residual[0] == 4).all()


def test_a_write_that_did_not_happen_is_an_error_and_is_not_counted() -> None:
    run = Run(Pass(PROMPT, patches=(Patch(1, 0, STATE), Patch(2, 5, STATE))), Pass(PROMPT, exit=2))
    run.step((0, 0, 3), (1, 0, 2))
    run.lost = True
    run.step((0, 3, 7), (1, 2, 7))
    for request in (0, 1):
        assert run.report(request).error == "0 of 2 planned writes took place in a step of the batch"
    assert run.report(0).patched == 1
    run.lost = False
    run.step((0, 7, 8), (1, 7, 8))
    assert run.report(0).error  # it is not forgotten


def test_a_patch_that_was_never_reached_is_an_error() -> None:
    run = Run(Pass(PROMPT, patches=(Patch(1, 0, STATE), Patch(2, 5, STATE))))
    run.step((0, 0, 3))
    assert run.report().error == "1 patches were not written"


def test_a_read_that_did_not_happen_is_an_error() -> None:
    run = Run(Pass(PROMPT, (Capture(2, 1),)))
    run.lost = True
    run.step((0, 0, 7))
    assert run.report().error


# -- the prefix cache, preemption, ends -------------------------------------------------------------------------------


def test_patches_in_the_cached_part_count_and_are_told_once() -> None:
    request = Pass(PROMPT, patches=(Patch(1, 0, STATE), Patch(2, 3, STATE), Patch(1, -1, STATE)))
    run = Run(request, cached=[4])
    run.step((0, 4, 6))
    assert run.news == News([], run.news.states, {"0": 2}, {}, {})
    run.step((0, 6, 7))
    assert run.report().patched == 3
    run.step((0, 7, 8))
    assert run.news is None


@pytest.mark.parametrize(("cached", "patched"), [(3, 0), (4, 1)])
def test_a_patch_counts_as_cached_only_if_its_own_position_is(cached: int, patched: int) -> None:
    run = Run(Pass(PROMPT, patches=(Patch(2, 3, STATE),)), cached=[cached])
    assert len(run.stages[0].requests["0"].done) == patched


def test_what_is_computed_again_after_a_preemption_is_written_again_and_counts_once() -> None:
    run = Run(Pass(PROMPT, (Capture(1, -1, follow=True),), (Patch(2, 3, STATE), Patch(1, 6, STATE))))
    run.step((0, 0, 5))
    run.step((0, 5, 7))
    run.step((0, 7, 8))
    before = run.read()
    again = run.step((0, 0, 8))  # from the start, with the token that was generated
    torch.testing.assert_close(again[3], rest_of_the_way(STATE, 2, DEPTH))
    torch.testing.assert_close(again[6], rest_of_the_way(STATE, 1, DEPTH))
    run.step((0, 8, 9))
    assert_states(run.read(), {**before, (0, 8): clean(1, 1)})
    assert run.report(steps=3).patched == 2


def test_a_lens_says_how_likely_it_finds_the_first_token() -> None:
    run = Run(Pass(PROMPT, (Capture(1),), lens=3), Pass(PROMPT, (Capture(3, 0),)), Pass((8, 9), lens=1))
    run.step((1, 0, 7), (0, 0, 4), (2, 0, 2), sampled=21)
    run.step((0, 4, 7), (1, 7, 8), sampled=20)
    run.step((0, 7, 8), sampled=22)
    assert run.report(0).lens == pytest.approx(seen(17, 3, first=20))
    assert run.report(1).lens is None
    assert run.report(2).lens == pytest.approx(seen(9, 1, first=21))
    assert seen(17, 3, first=20) != pytest.approx(seen(17, 3, first=22))
    assert len(run.report(0).states) == 1  # the lens's own state is not told


def seen(token: int, layer: int, first: int) -> float:
    """How likely the lens finds a token."""
    return float(StandIn().predict(clean(token, layer)).softmax(-1)[first])


def test_a_lens_keeps_to_the_first_token_after_a_preemption() -> None:
    run = Run(Pass(PROMPT, lens=3))
    run.step((0, 0, 7), sampled=20)
    run.step((0, 7, 8), sampled=30)
    run.step((0, 0, 9), sampled=40)
    assert run.report().lens == pytest.approx(seen(17, 3, first=20))


def test_nothing_remains_of_requests_that_have_ended() -> None:
    run = Run(*(Pass(PROMPT, (Capture(1),), (Patch(2, 3, STATE),)) for _ in range(3)))
    sites = run.stages[0]
    sites.admit([], ["1", "never seen"])
    assert {*sites.requests} == {"0", "2"}
    other = Pass((5, 6), patches=(Patch(1, 1, -STATE),))
    sites.admit([("2", str(to_text(other)), 2, 0)], ["2"])  # its name is taken over in the same step
    assert sites.requests["2"].length == 2
    sites.admit([], ["0", "2"])
    assert sites.requests == {}
    sites.plan([("2", 0, 2)])
    assert sites.step is None
    assert sites.news() is None


def test_news_of_a_request_that_has_ended_goes_nowhere() -> None:
    run = Run(Pass(PROMPT, (Capture(1),), (Patch(2, 3, STATE),)), cached=[4])
    run.stages[0].admit([], ["0"])
    assert run.stages[0].news() is None
    _tell({}, News([("0", 0, 6)], np.zeros((1, WIDTH), np.float32), {"0": 1}, {"0": 0.5}, {"0": "an error"}))


# -- exits ------------------------------------------------------------------------------------------------------------


def test_a_request_that_leaves_early_ends_with_the_state_of_its_exit() -> None:
    run = Run(Pass(PROMPT, exit=2), Pass(PROMPT[::-1]), Pass(PROMPT, exit=3), Pass(PROMPT, exit=DEPTH))
    final = run.step((0, 0, 7), (1, 0, 7), (2, 0, 7), (3, 0, 7)).reshape(4, 7, WIDTH)
    for row, layer, token in ((0, 2, 17), (1, DEPTH, 11), (2, 3, 17), (3, DEPTH, 17)):
        torch.testing.assert_close(final[row, -1], clean(token, layer))
    assert run.blocks == [0, 1, 2, 3]  # somebody needs them all
    final = run.step((1, 7, 8), (0, 7, 8))
    torch.testing.assert_close(final, torch.stack([clean(0, DEPTH), clean(0, 2)]))


def test_blocks_are_left_out_when_every_request_has_left() -> None:
    run = Run(Pass(PROMPT, exit=1), Pass(PROMPT, (Capture(2, 4),), exit=3), Pass(PROMPT, (Capture(1),)))
    final = run.step((1, 0, 7), (0, 0, 7)).reshape(2, 7, WIDTH)
    assert run.blocks == [0, 1, 2]
    torch.testing.assert_close(final[:, -1], torch.stack([clean(17, 3), clean(17, 1)]))
    assert_states(run.read(1), {(0, 4): clean(15, 2)})
    run.step((0, 7, 8))
    assert run.blocks == [0]
    run.step((0, 8, 9), (2, 0, 7))  # it reads and stays
    assert run.blocks == [0, 1, 2, 3]


def test_a_patch_before_the_exit_is_part_of_what_is_left_with() -> None:
    run = Run(Pass(PROMPT, (Capture(2),), (Patch(1, -1, STATE), Patch(2, 0, -STATE)), exit=2), fused=True)
    final = run.step((0, 0, 7))
    torch.testing.assert_close(final[-1], rest_of_the_way(STATE, 1, 2))
    assert_states(run.read(), {(0, 6): rest_of_the_way(STATE, 1, 2)})
    assert run.report().patched == 2


# -- a pipeline -------------------------------------------------------------------------------------------------------


MIXED = (
    Pass(PROMPT, tuple(Capture(layer, -1, follow=True) for layer in range(DEPTH + 1)), (Patch(1, 6, STATE),), lens=3),
    Pass(PROMPT, (Capture(1, 0), Capture(3, 2)), (Patch(0, 2, torch.tensor([9]), TOKEN), Patch(3, 5, STATE)), exit=3),
    Pass(PROMPT[::-1]),
    Pass(PROMPT, patches=(Patch(2, 0, STATE, MAPPINGS["norm_matched"]), Patch(DEPTH, -1, STATE)), lens=DEPTH),
    Pass(PROMPT, (Capture(1),), exit=1),
)
STEPS = (
    [(0, 0, 5), (1, 0, 7), (2, 0, 3)],
    [(4, 0, 7), (3, 0, 4), (2, 3, 7), (1, 7, 8), (0, 5, 7)],
    [(3, 4, 7), (0, 7, 8)],
    [(1, 8, 9), (4, 7, 8)],  # both have left
)


@pytest.mark.parametrize("stages", [2, 4])
@pytest.mark.parametrize("fused", [False, True])
def test_the_stages_of_a_pipeline_give_what_one_gives(stages: int, fused: bool) -> None:
    one, several = Run(*MIXED, fused=fused), Run(*MIXED, stages=stages, fused=fused)
    for rows in STEPS:
        torch.testing.assert_close(several.step(*rows, sampled=20), one.step(*rows, sampled=20))
        assert several.blocks == one.blocks
    for request in (0, 1, 3, 4):
        assert_states(several.read(request), one.read(request))
        assert several.report(request, steps=2) == one.report(request, steps=2)
        assert several.report(request, steps=2).error is None


def test_a_stage_that_does_not_write_is_found_out_by_the_last() -> None:
    run = Run(Pass(PROMPT, patches=(Patch(1, 0, STATE), Patch(3, 1, STATE))), stages=2)
    run.stages[0].visit = lambda layer, hidden, residual: None  # type: ignore[method-assign]
    run.step((0, 0, 7))
    assert run.report().error == "1 of 2 planned writes took place in a step of the batch"


def test_every_stage_ends_its_step() -> None:
    run = Run(Pass(PROMPT, (Capture(1),), (Patch(2, 3, STATE),)), stages=2)
    run.step((0, 0, 7))
    assert [sites.step for sites in run.stages] == [None, None]
    assert run.stages[0].carried() == {}


def test_a_stage_before_the_last_forgets_whom_the_cache_has_served() -> None:
    run = Run(Pass(PROMPT, patches=(Patch(1, 0, STATE),)), cached=[4], stages=2)
    run.step((0, 4, 7))
    assert [sites.cached for sites in run.stages] == [[], []]
