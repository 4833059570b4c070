"""What a pass asks of the plugin is the same pass again on the other side, and nothing else is let through."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from correction.engines.vllm import wire
from correction.engines.vllm.wire import digest, from_text, outline, packed, report_of, to_text, unpacked
from correction.errors import InvalidInput
from correction.mappings import IDENTITY, MAPPINGS, TOKEN, Affine, Chain, Fitted, Mapping
from correction.passes import Capture, ModelShape, Pass, Patch
from tests.vllm_passes import draw

SHAPE = ModelShape(depth=6, width=16, vocabulary=100)
NORM_MATCHED, ADDED, VOCABULARY, HARD_TOKEN = (
    MAPPINGS[name] for name in ("norm_matched", "added", "vocabulary", "hard_token")
)


def fitted(source: int, target: int) -> Affine:
    generator = torch.Generator().manual_seed(source + target)
    about = Fitted("ridge", "made by hand", "A", "A", 2, 3, pairs=9, explained=0.5)
    weight = torch.randn(target, source, generator=generator) / source**0.5
    return Affine(about, weight, torch.randn(target, generator=generator))


def sent(request: Pass) -> Pass:
    text = to_text(request)
    assert text is not None
    return from_text(text)


def patched(mapping: Mapping, width: int = SHAPE.width) -> Pass:
    return Pass((1, 2), patches=(Patch(3, 1, torch.linspace(-2, 3, width), mapping),))


# -- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_pass_arrives_as_it_was_sent(seed: int) -> None:
    drawn = [request for request in draw(SHAPE, 200, seed) if not request.plain]
    assert {len(request.patches) for request in drawn} >= {0, 1, 2, 3}
    assert {patch.mapping for request in drawn for patch in request.patches} == {*MAPPINGS.values(), TOKEN}
    for request in drawn:
        arrived = sent(request)
        assert (arrived.captures, arrived.exit, arrived.lens) == (request.captures, request.exit, request.lens)
        assert len(arrived.patches) == len(request.patches)
        for ours, theirs in zip(arrived.patches, request.patches, strict=True):
            assert (ours.layer, ours.position) == (theirs.layer, theirs.position)
            assert ours.mapping is theirs.mapping
            assert ours.state.dtype == theirs.state.dtype
            assert torch.equal(ours.state, theirs.state)


def test_a_plain_pass_sends_nothing() -> None:
    drawn = [request for request in draw(SHAPE, 100, seed=9) if request.plain]
    assert len(drawn) > 5
    assert [to_text(request) for request in drawn] == [None] * len(drawn)


def test_states_and_token_ids_keep_their_places_among_one_another() -> None:
    token, state = torch.tensor([42]), torch.arange(float(SHAPE.width))
    request = Pass(
        (1, 2, 3),
        patches=(Patch(2, 0, state), Patch(0, 1, token, TOKEN), Patch(2, -1, -state), Patch(0, 2, token + 1, TOKEN)),
    )
    given = [(patch.position, patch.state.tolist()) for patch in sent(request).patches]
    assert given == [(0, state.tolist()), (1, [42]), (-1, (-state).tolist()), (2, [43])]


def test_a_state_in_half_precision_arrives_unrounded() -> None:
    state = torch.linspace(-1, 1, SHAPE.width).bfloat16()
    [arrived] = sent(Pass((1,), patches=(Patch(1, 0, state),))).patches
    assert torch.equal(arrived.state, state.float())


def test_equal_passes_send_equal_texts_and_a_change_in_any_part_another() -> None:
    requests = [request for request in draw(SHAPE, 200, seed=4) if not request.plain]
    texts = [str(to_text(request)) for request in requests]
    assert texts == [str(to_text(request)) for request in draw(SHAPE, 200, seed=4) if not request.plain]
    assert len({digest(text) for text in texts}) == len({*texts})
    [patch] = patched(IDENTITY).patches
    nudged = patch.state.clone()
    nudged[3] += 1e-6
    one, other = (to_text(Pass((1, 2), patches=(Patch(3, 1, state),))) for state in (patch.state, nudged))
    assert digest(str(one)) != digest(str(other))


# -- mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "rest"),
    [
        (fitted(16, 16), "identity"),
        (fitted(24, 16), "identity"),  # from a wider model
        (Chain((fitted(24, 8), fitted(8, 16))), "identity"),
        (Chain((fitted(16, 16), NORM_MATCHED)), "norm_matched"),
        (Chain((fitted(16, 16), ADDED)), "added"),
        (Chain((fitted(24, 16), VOCABULARY, NORM_MATCHED)), "vocabulary+norm_matched"),
        (Chain((IDENTITY, NORM_MATCHED)), "identity+norm_matched"),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else value,
)
def test_what_was_fitted_is_applied_here_and_the_rest_there(mapping: Mapping, rest: str) -> None:
    source = (mapping.widths or (SHAPE.width,))[0]
    request = patched(mapping, source)
    [arrived] = sent(request).patches
    assert arrived.mapping.name == rest
    assert arrived.state.shape == (SHAPE.width,)
    target, parts = torch.randn(1, SHAPE.width), model()
    whole = mapping(request.patches[0].state.unsqueeze(0), target, parts, parts)
    split = arrived.mapping(arrived.state.unsqueeze(0), target, parts, parts)
    torch.testing.assert_close(split, whole)
    assert not torch.allclose(split, request.patches[0].state[: SHAPE.width].unsqueeze(0))


def model() -> Any:
    """A head and a table: all that a mapping reads of a model."""

    class Parts:
        table = torch.randn(SHAPE.vocabulary, SHAPE.width, generator=torch.Generator().manual_seed(1))

        def predict(self, states: Tensor) -> Tensor:
            return states @ self.table.T

        def mix(self, probabilities: Tensor) -> Tensor:
            return probabilities @ self.table

    return Parts()


class Doubled:
    """A mapping that hopfix does not have."""

    name = "doubled"
    widths: tuple[int, int] | None = None
    embeds = False

    def __call__(self, source: Tensor, target: Tensor, origin: Any, parts: Any) -> Tensor:
        return 2 * source


class Impostor(Doubled):
    """Goes by a name that the plugin would take for another mapping."""

    name = "identity"


@pytest.mark.parametrize(
    "mapping",
    [
        Chain((NORM_MATCHED, fitted(16, 16))),
        Chain((fitted(16, 16), ADDED, fitted(16, 16))),
        Doubled(),
        Impostor(),
        Chain((fitted(16, 16), Doubled())),
        Chain((TOKEN, NORM_MATCHED)),
    ],
    ids=lambda mapping: mapping.name,
)
def test_a_mapping_that_cannot_be_sent_is_refused_with_its_name(mapping: Mapping) -> None:
    with pytest.raises(InvalidInput, match="cannot be applied inside vLLM") as caught:
        to_text(patched(mapping))
    assert repr(mapping.name) in str(caught.value)


# -- what is not let through ------------------------------------------------------------------------------------------

STATE = {"dtype": "float32", "shape": [1, 2], "data": "AACAPwAAAEA="}  # 1.0, 2.0


def test_the_state_of_the_next_tests_is_one() -> None:
    given = from_text(json.dumps({"patches": [[1, 0, "identity"]], "states": STATE}))
    assert given.patches[0].state.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "sites",
    [
        {"captures": [[1, 0, 1]]},  # a number is no yes
        {"captures": [["1", 0, True]]},
        {"captures": [[1.0, 0, True]]},
        {"captures": {}},
        {"captures": None},
        {"exit": "2"},
        {"exit": True},
        {"lens": 2.5},
        {"patches": [[1, 0, None]]},
        {"patches": [[1, 0, True]]},
        {"patches": [[1, 0, 3.0]]},
        {"patches": [[1, 0, ["identity"]]], "states": STATE},
        {"patches": [[1, 0, "identity"]], "states": [STATE]},
        {"patches": [[1, 0, "identity"]], "states": {**STATE, "extra": 1}},
        {"patches": [[1, 0, "token"]], "states": STATE},
        {"patches": [[1, 0, ""]], "states": STATE},
        {"patches": [[1, 0, "identity+"]], "states": STATE},
        {"patches": [[1, 0, "identity+../mapping.safetensors"]], "states": STATE},
        {"patches": [[1, 0, "identity"]], "states": {**STATE, "data": STATE["data"] + "AAAA"}},
        {"patches": [[1, 0, 5]], "states": STATE},  # a state that nobody takes
    ],
    ids=json.dumps,
)
def test_a_text_that_is_not_what_it_should_be_is_refused(sites: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="hopfix: "):
        from_text(json.dumps(sites))


@pytest.mark.parametrize(
    "sites",
    [
        {"patches": [[0, 0, 10**30]]},  # more than an int64 holds
        {"captures": [[1, 0, False]], "states": {**STATE, "shape": [0, 10**30], "data": ""}},
        {"captures": [[1, 0, False]], "states": {**STATE, "shape": [2**62, 0], "data": ""}},
    ],
    ids=json.dumps,
)
def test_a_number_that_is_too_large_is_refused(sites: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        from_text(json.dumps(sites))


@pytest.mark.parametrize("name", ["norm_matched+hard_token", "norm_matched+vocabulary", "added+hard_token"])
def test_what_reads_the_model_cannot_follow_what_reads_the_replaced_state(name: str) -> None:
    with pytest.raises(InvalidInput):
        from_text(json.dumps({"patches": [[1, 0, name]], "states": STATE}))


def test_a_chain_has_an_end() -> None:
    with pytest.raises(InvalidInput):
        from_text(json.dumps({"patches": [[1, 0, "+".join(["norm_matched"] * 1000)]], "states": STATE}))


def test_a_request_has_at_most_1024_sites_of_a_kind() -> None:
    assert len(outline(json.dumps({"captures": [[1, 0, False]] * 1024})).captures) == 1024
    assert len(outline(json.dumps({"patches": [[0, 0, 1]] * 1024})).patches) == 1024
    for kind, site in (("captures", [1, 0, False]), ("patches", [0, 0, 1])):
        with pytest.raises(InvalidInput, match=f"hopfix: {kind}: .* at most 1024"):
            outline(json.dumps({kind: [site] * 1025}))


def test_a_text_that_is_too_long_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_CHARACTERS", 60)
    text = '{"captures": [[2, 0, true]]}'
    assert outline(text + " " * (60 - len(text))).captures == [(2, 0, True)]
    with pytest.raises(InvalidInput, match="the text has 61 characters, the most is 60"):
        outline("[" * 61)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_refused(value: float) -> None:
    states = packed(np.array([[1.0, value]], np.float32))
    with pytest.raises(InvalidInput, match="not finite"):
        from_text(json.dumps({"patches": [[1, 0, "identity"]], "states": states}))


# -- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_arrives_as_it_was_sent() -> None:
    states = [np.random.default_rng(rows).normal(size=(rows, 16)).astype(np.float32) for rows in (1, 5)]
    given = {"patched": 3, "states": [packed(one) for one in states], "lens": 0.25}
    report = report_of(json.loads(json.dumps(given)))
    assert report is not None
    assert (report.patched, report.lens, report.error) == (3, 0.25, None)
    assert [unpacked(one).tolist() for one in report.states] == [one.tolist() for one in states]


def test_no_report_is_not_an_empty_one() -> None:
    assert report_of(None) is None
    empty = report_of({})
    assert empty is not None
    assert empty.patched == 0


def test_states_that_were_sent_can_be_written_to() -> None:
    """They are tensors of their own, and no view of the text."""
    given = outline(json.dumps({"patches": [[1, 0, "identity"]], "states": STATE})).states
    assert given is not None
    unpacked(given).add_(1)
    assert unpacked(given).tolist() == [[1.0, 2.0]]


def test_the_sites_of_a_capture_are_short() -> None:
    """They stand in every request: what is not asked is not said."""
    assert to_text(Pass((1, 2), (Capture(1),), lens=3)) == '{"captures": [[1, -1, false]], "lens": 3}'
