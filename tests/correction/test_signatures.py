"""Every failure signature fires on a case made for it, and none on a healthy Patchscope."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from correction.engines import HFEngine
from correction.inspector import Inspector, Outcome
from correction.mappings import MAPPINGS
from correction.models import LoadedModel
from correction.patchscope import Patchscope, Source, Target
from correction.signatures import contamination, degenerate, not_finite, signatures

HOP1 = "The country where Kruger National Park is located is"
HEALTHY = Patchscope(
    source=Source(prompt=HOP1, layer=6),
    target=Target(prompt="The currency of x is", position="x", layer=0),
    mapping="vocabulary",
    max_tokens=8,
)


@pytest.fixture(scope="module")
def inspector(demo: LoadedModel) -> Iterator[Inspector]:
    engine = HFEngine(demo)
    yield Inspector.of(demo, engine)
    asyncio.run(engine.close())


def outcome_of(inspector: Inspector, scope: Patchscope) -> Outcome:
    return asyncio.run(inspector.run([scope]))[0]


def warnings(inspector: Inspector, scope: Patchscope) -> list[str]:
    return asyncio.run(signatures(inspector, scope, outcome_of(inspector, scope)))


def changed(**target: Any) -> Patchscope:
    mapping = target.pop("mapping", HEALTHY.mapping)
    return HEALTHY.model_copy(update={"target": HEALTHY.target.model_copy(update=target), "mapping": mapping})


def test_a_healthy_patchscope_has_none(inspector: Inspector) -> None:
    assert outcome_of(inspector, HEALTHY).text == "rand"
    assert warnings(inspector, HEALTHY) == []


def test_a_patch_without_effect(inspector: Inspector) -> None:
    """At the last layer nothing after the placeholder reads it."""
    assert any("the patch has no effect" in warning for warning in warnings(inspector, changed(layer=6)))
    nothing = Patchscope(source=Source(prompt=HOP1, layer=3), target=Target(prompt=HOP1, layer=3))
    assert warnings(inspector, nothing) == [
        "the patch has no effect: the target prompt left alone says the same",
    ]


def test_an_output_unrelated_to_the_source(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping says the same whatever the state."""

    class Constant:
        name, widths, embeds = "constant", None, False

        def __call__(self, source: torch.Tensor, target: torch.Tensor, origin: Any, parts: Any) -> torch.Tensor:
            return torch.linspace(-20, 20, source.shape[-1]).expand_as(source)

    monkeypatch.setitem(MAPPINGS, "constant", Constant())
    assert any("unrelated to the source" in w for w in warnings(inspector, changed(mapping="constant")))


def test_an_output_that_noise_changes(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise as long as the state leaves nothing of it."""
    identity = changed(mapping="identity")
    monkeypatch.setattr("correction.signatures.DISTURBANCE", 3.0)
    assert any("the output is not stable: noise of 300%" in w for w in warnings(inspector, identity))


def test_an_output_that_the_placeholder_changes(inspector: Inspector) -> None:
    """Near the last layer the demo model has read the placeholder before the state comes."""
    found = warnings(inspector, changed(layer=4, prompt="The capital of France is", position="France"))
    assert any("depends on the placeholder" in warning for warning in found)


def test_degenerate_outputs(inspector: Inspector) -> None:
    said = outcome_of(inspector, HEALTHY)
    assert degenerate(said) == []
    assert "is empty" in degenerate(replace(said, text="", tokens=()))[0]
    assert "token 7 comes 5 times in a row" in degenerate(replace(said, tokens=(3, 7, 7, 7, 7, 7, 3)))[0]
    assert degenerate(replace(said, tokens=(7, 3, 7, 3, 7, 3, 7))) == []


def test_states_that_are_not_finite_are_reported(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    said = outcome_of(inspector, HEALTHY)
    infinite = torch.full((1, 128), torch.inf)

    async def states(sources: object) -> list[torch.Tensor]:
        return [infinite]

    monkeypatch.setattr(inspector, "states", states)
    found = asyncio.run(signatures(inspector, HEALTHY, said))
    assert found == ["the state at layer 6, position -1 is not finite: load the model in float32 or bfloat16"]
    undefined = replace(said, logprobs=(float("nan"),))
    assert "numbers that are not finite" in not_finite(HEALTHY, [torch.ones(1, 128)], undefined)[0]
    assert not_finite(HEALTHY, [torch.ones(1, 128)], said) == []


def test_contamination_by_the_placeholder(inspector: Inspector) -> None:
    """None at l* = 0, where all of it is overwritten; above, the more of its keys are read the more."""
    scope = changed(prompt="The capital of France is", position="France", mapping="identity")
    table = asyncio.run(contamination(inspector, scope, [0, 1, 4, 6]))
    means = [sum(cell.value for cell in row if cell) / len(row) for row in table.cells]  # type: ignore[misc]
    assert table.columns.labels == ("x",)
    assert means[0] == pytest.approx(0.0, abs=1e-5)
    assert means[3] > 0.5
    assert means[1] > 0.01
