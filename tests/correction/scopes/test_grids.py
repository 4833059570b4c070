"""The grids: each cell is the Patchscope that it stands for, and what is asked wrongly is refused."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from correction.errors import InvalidInput
from correction.inspector import Inspector
from correction.models import LoadedModel
from correction.patchscope import Patchscope, Source, Target
from correction.scopes import SCOPES, Request, scope_named
from tests.correction.scopes.conftest import HOP1, HOP2, Look


def test_multi_hop_cells_are_single_patchscopes(look: Look, inspector: Inspector) -> None:
    table = look("multi-hop", HOP1, target=HOP2, mapping="vocabulary")
    assert (len(table.cells), len(table.cells[0])) == (6, 6)
    scopes = [
        Patchscope(
            source=Source(prompt=HOP1, layer=layer),
            target=Target(prompt="The currency of x is", position="x", layer=target_layer),
            mapping="vocabulary",
            max_tokens=8,
        )
        for layer in range(1, 7)
        for target_layer in range(6)
    ]
    cells = [cell for row in table.cells for cell in row]
    for cell, outcome in zip(cells, asyncio.run(inspector.run(scopes)), strict=True):
        assert cell is not None
        assert cell.text == outcome.text
        expected = math.exp(sum(outcome.logprobs) / len(outcome.logprobs))
        assert cell.value == pytest.approx(expected, abs=1e-4)
    assert cells[0] is not None
    assert cells[0].text == "rand"
    assert table.patchscopes[0].target.layer == 0


def test_back_patching_on_the_diagonal_is_the_unpatched_run(look: Look, inspector: Inspector) -> None:
    prompt = "The currency of the country where Kruger National Park is located is"
    table = look("back-patching", prompt, layers=[1, 3, 5], target_layers=[1, 3, 5])
    plain = Patchscope(source=Source(prompt=prompt, layer=0), target=Target(prompt=prompt, layer=0), max_tokens=8)
    (outcome,) = asyncio.run(inspector.run([plain]))
    assert {table.cells[n][n].text for n in range(3)} == {outcome.text}  # type: ignore[union-attr]
    assert [[cell is None for cell in row] for row in table.cells] == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]


def test_a_subjects_attribute(look: Look) -> None:
    prompt = "The currency of South Africa is"
    table = look("attribute-extraction", prompt, position="South Africa", target="The capital of {} is", layers=[0])
    assert table.cells[0][0].text == "Pretoria"  # type: ignore[union-attr]


def test_layer_by_layer_and_over_a_grid(look: Look) -> None:
    column = look("entity-description", "South Africa", max_tokens=3)
    assert column.rows.meaning == "layer l = l*"
    assert column.columns.labels == ("text",)
    fields: dict[str, Any] = {"position": "South Africa", "layers": [6]}
    diagonal = look("token-identity", "The currency of South Africa is", **fields).cells[0][0]
    grid = look("token-identity", "The currency of South Africa is", target_layers=[6], **fields).cells[0][0]
    assert grid is not None
    assert diagonal is not None
    assert grid.text == diagonal.text


def test_cross_model_with_itself_is_the_same_model(look: Look) -> None:
    fields: dict[str, Any] = {"target": HOP2, "layers": [3, 6], "target_layers": [0, 2]}
    crossed = look("cross-model", HOP1, target_model="again", **fields)
    for row, same in zip(crossed.cells, look("multi-hop", HOP1, **fields).cells, strict=True):
        assert [cell.text for cell in row if cell] == [cell.text for cell in same if cell]


def test_one_patchscope_and_a_grid_of_it(look: Look) -> None:
    fields: dict[str, Any] = {"target": HOP2, "mapping": "vocabulary", "target_layers": [0]}
    one = look("patchscope", HOP1, layers=[6], **fields)
    assert one.cells[0][0].text == "rand"  # type: ignore[union-attr]
    assert one.columns.labels[:2] == ("text", "choice 1")
    of_two = look("patchscope", HOP1, layers=[5, 6], **fields).cells[1][0]
    alone = look("multi-hop", HOP1, **{**fields, "layers": [6]}).cells[0][0]
    assert of_two is not None
    assert alone is not None
    assert of_two.value == pytest.approx(alone.value, abs=1e-6)  # a batch of two rounds differently on some processors
    assert replace(of_two, value=alone.value) == alone
    placed = look("patchscope", HOP1, **{**fields, "target": "The currency of x is"}, layers=[6], target_position=4)
    assert placed.cells == one.cells


def test_the_placeholder_is_a_parameter(look: Look, demo: LoadedModel) -> None:
    """At l* = 0 the vocabulary mapping overwrites it, whichever it was and wherever else it stands in the prompt."""
    for placeholder in ("x", "is"):
        fields = {"placeholder": placeholder, "mapping": "vocabulary", "layers": [6], "target_layers": [0]}
        table = look("multi-hop", HOP1, target=HOP2, **fields)
        assert table.cells[0][0].text == "rand"  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="does not keep the placeholder 'xylophone'"):
        look("multi-hop", HOP1, target=HOP2, placeholder="xylophone")
    with pytest.raises(InvalidInput, match="'x' does not occur"):
        look("multi-hop", HOP1, target="The currency of it is")


@pytest.mark.parametrize("name", sorted(SCOPES))
def test_every_method_has_a_function_and_says_what_it_needs(name: str, look: Look) -> None:
    needs = SCOPES[name].needs.split()
    if needs:
        with pytest.raises(InvalidInput, match=f"{name} needs {needs[0]}"):
            look(name, HOP1)
    if "noise" not in SCOPES[name].fields:
        given = dict.fromkeys(needs, "1") | {field: [1] for field in needs if "layers" in field}
        given |= {"labels": ["a"]} if "labels" in needs else {}
        with pytest.raises(InvalidInput, match=f"{name} makes no use of noise"):
            look(name, HOP1, noise=1.0, **given)


def test_what_is_asked_wrongly_is_named(look: Look) -> None:
    with pytest.raises(InvalidInput, match="layer 7 is out of range: the model has layers 0 to 6"):
        look("logit-lens", HOP1, layers=[7])
    with pytest.raises(InvalidInput, match="layer 7 is out of range"):
        look("multi-hop", HOP1, target=HOP2, target_layers=[7])
    with pytest.raises(InvalidInput, match="'Yellowstone' does not occur"):
        look("logit-lens", HOP1, position="Yellowstone")
    with pytest.raises(InvalidInput, match="2 prompts given"):
        look("logit-lens", HOP1, HOP1)
    with pytest.raises(InvalidInput, match="prompts: "):
        Request.parse({"prompts": []})
    with pytest.raises(InvalidInput, match="choose one of logit-lens"):
        scope_named("tea-leaves")


def test_a_table_is_json_and_its_patchscope_can_be_run_again(look: Look, inspector: Inspector) -> None:
    table = look("multi-hop", HOP1, target=HOP2, mapping="vocabulary")
    sent = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert sent["cells"][5][0]["text"] == "rand"
    (outcome,) = asyncio.run(inspector.run([Patchscope.parse(sent["patchscopes"][0])]))
    assert outcome.text == "rand"
