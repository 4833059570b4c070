"""Patchscopes as data: what can be written down, and where a point is in its prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from correction.errors import InvalidInput
from correction.models import LoadedModel
from correction.patchscope import Patchscope, find_sites

FIELDS: dict[str, Any] = {
    "source": {"prompt": "The country where Kruger National Park is located is", "layer": 6},
    "target": {"prompt": "The currency of x is", "layer": 0, "position": "x"},
    "mapping": "vocabulary",
}


def test_json_there_and_back() -> None:
    span = {
        "source": {"prompt": [5, 6, 7], "layer": [1, 2], "position": [0, -1], "model": "small"},
        "target": {"prompt": "x y", "layer": 3, "position": ["x", "y"]},
        "also": [{"source": FIELDS["source"], "layer": 0, "position": 2, "mapping": "added"}],
        "max_tokens": 3,
    }
    for fields in (FIELDS, span):
        assert json.loads(json.dumps(Patchscope.parse(fields).to_json())) == fields


def test_grafts_are_the_first_site_and_the_others() -> None:
    first, second = Patchscope.parse({**FIELDS, "also": [{"source": FIELDS["source"], "layer": 2}]}).grafts
    assert (first.layer, first.position, first.mapping) == (0, "x", "vocabulary")
    assert (second.layer, second.position, second.mapping) == (2, -1, "identity")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": {"prompt": "x"}}, "source.layer: Field required"),
        ({"target": {"prompt": "x", "layer": -1}}, "target.layer"),
        ({"target": {"prompt": "x", "layer": 0, "place": 1}}, "target.place: Extra inputs are not permitted"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"mapping": 3}, "mapping: Input should be a valid string"),
    ],
)
def test_the_wrong_field_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Patchscope.parse({**FIELDS, **change})
    assert str(raised.value).startswith(says)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidInput, match="patchscope"):
        Patchscope.parse(["a list"])


def test_a_text_is_its_last_token_at_its_last_occurrence(demo: LoadedModel) -> None:
    prompt = "The capital of South Africa is in South Africa"
    sites = find_sites(demo, prompt, 2, "South Africa")
    assert sites.layers == (2,)
    ends = [last for _, last in demo.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]]
    assert ends[sites.positions[0]] == len(prompt)
    first = find_sites(demo, prompt, 2, "South Africa is").positions[0]
    assert ends[first] == prompt.index(" in")


def test_spans_and_negative_positions(demo: LoadedModel) -> None:
    prompt = "The currency of x is"
    length = len(demo.tokenizer(prompt)["input_ids"])
    sites = find_sites(demo, prompt, (1, 2), ("x", -1))
    assert sites.positions[1] == length - 1
    assert sites.layers == (1, 2)
    assert find_sites(demo, prompt, 3, (0, 1)).layers == (3, 3)


def test_an_occurrence_inside_a_word_is_passed_over(demo: LoadedModel) -> None:
    """The placeholder is the word, not the letter in a later one."""
    prompt = "The currency of x is not next"
    assert find_sites(demo, prompt, 0, "x").positions == find_sites(demo, "The currency of x", 0, "x").positions
    ids = demo.tokenizer("The currency of next")["input_ids"]
    inside = find_sites(demo, "The currency of next", 0, "x").positions[0]  # for want of a better one
    assert demo.tokenizer.decode([ids[inside]]).strip() == "x"


@pytest.mark.parametrize(
    ("prompt", "layer", "position", "says"),
    [
        ("The currency of x is", 7, "x", "layer 7 is out of range: the model has layers 0 to 6"),
        ("The currency of x is", 0, 99, "position 99 is out of range: the prompt has"),
        ("The currency of x is", 0, "z", "'z' does not occur in 'The currency of x is'"),
        ("The currency of x is", 0, "", "does not occur"),
        ("The currency of x is", 0, "curr", "the tokenizer merges 'curr' with its neighbours"),
        ("The currency of x is", (1, 2, 3), "x", "3 layers for 1 positions: give one layer, or one a token"),
        ((5, 6), 0, "x", "a prompt of token ids has no text to find"),
        ((), 0, 0, "the prompt is empty"),
    ],
)
def test_points_that_are_not_there(
    demo: LoadedModel, prompt: str | tuple[int, ...], layer: int | tuple[int, ...], position: int | str, says: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        find_sites(demo, prompt, layer, position)
    assert says in str(raised.value)
