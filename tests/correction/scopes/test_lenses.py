"""The lenses and the next-token estimators against the model's own distribution and the plain formula."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch

from correction.errors import InvalidInput, InvalidMapping
from correction.forward import states
from correction.inspector import Inspector
from correction.mappings import save_mapping
from correction.mappings.affine import Affine
from correction.mappings.fitted import Fitted
from correction.models import LoadedModel
from correction.patchscope import Patchscope, Source, Target
from tests.correction.scopes.conftest import HOP1, Look


def values(table) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return torch.tensor([[cell.value for cell in row] for row in table.cells])


def test_the_last_layer_is_the_models_own_next_token(look: Look, demo: LoadedModel) -> None:
    table = look("logit-lens", HOP1)
    ids = demo.tokenizer(HOP1, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        own = demo.model(ids).logits[0].softmax(-1).max(-1)
    torch.testing.assert_close(values(table)[-1], own.values, atol=1e-5, rtol=1e-4)
    assert [cell.text for cell in table.cells[-1]] == [demo.tokenizer.decode([t]) for t in own.indices.tolist()]
    assert table.rows.labels == tuple("0123456")


def test_every_layer_is_the_head_of_the_norm(look: Look, demo: LoadedModel) -> None:
    table = look("logit-lens", HOP1, layers=[2, 5], position="Park")
    tokens = demo.tokenizer(HOP1)["input_ids"]
    (read,) = states(demo.model, demo.parts, [tokens], [2, 5], pad=0)
    place = demo.tokenizer.convert_ids_to_tokens(tokens).index("k")
    with torch.inference_mode():
        formula = demo.model.lm_head(demo.model.model.norm(read[:, place])).softmax(-1).max(-1).values
    torch.testing.assert_close(values(table)[:, 0], formula, atol=1e-5, rtol=1e-4)


def test_a_lens_is_the_patchscope_that_it_says_it_is(look: Look, inspector: Inspector, demo: LoadedModel) -> None:
    """T = S up to i, i* = i, l* = L, run in full by the engine."""
    tokens = tuple(demo.tokenizer(HOP1)["input_ids"])
    table = look("logit-lens", HOP1, layers=[1, 4])
    scopes = [
        Patchscope(
            source=Source(prompt=tokens, layer=layer, position=i),
            target=Target(prompt=tokens[: i + 1], layer=6),
            max_tokens=1,
        )
        for layer in (1, 4)
        for i in range(len(tokens))
    ]
    outcomes = asyncio.run(inspector.run(scopes))
    ran = torch.tensor([outcome.alternatives[0][1] for outcome in outcomes])
    torch.testing.assert_close(values(table).flatten(), ran, atol=1e-5, rtol=1e-4)


def test_the_tuned_lens_with_the_identity_is_the_logit_lens(look: Look) -> None:
    assert look("tuned-lens", HOP1, mapping="identity").cells == look("logit-lens", HOP1).cells


def saved(folder: Path, layer: int, weight: torch.Tensor, bias: torch.Tensor, model: str) -> None:
    about = Fitted("ridge", "made by hand", model, model, layer, 6, pairs=1, explained=0.0)
    save_mapping(Affine(about, weight=weight, bias=bias), folder / f"lens-{layer}.safetensors")


def test_the_tuned_lens_reads_a_file_a_layer(
    look: Look, inspector: Inspector, demo: LoadedModel, tmp_path: Path
) -> None:
    """Maps that ignore the state and give the last layer's own say what the model says, whatever the layer."""
    (last,) = asyncio.run(inspector.states([Source(prompt=HOP1, layer=6)]))
    for layer in (1, 3):
        saved(tmp_path, layer, torch.zeros(128, 128), last[0].clone(), demo.fingerprint)
    mapping = str(tmp_path / "lens-{}.safetensors")
    table = look("tuned-lens", HOP1, mapping=mapping, layers=[1, 3], position=-1)
    assert [row[0].text for row in table.cells if row[0]] == ["South Africa"] * 2
    estimated = look("next-token", HOP1, mapping=mapping, layers=[1, 3])
    assert estimated.columns.labels[2] == "tuned lens precision@1"
    assert [row[2].value for row in estimated.cells if row[2]] == [1.0, 1.0]
    with pytest.raises(InvalidInput, match="fitted for source layer 1 and is used at layer 2"):
        look("tuned-lens", HOP1, mapping=mapping.replace("{}", "1"), layers=[2])


def test_next_token_estimation(look: Look) -> None:
    prompts = [HOP1, "The capital of France is", "The currency of South Africa is", "Paris is"]
    table = look("next-token", *prompts, layers=[0, 3, 6])
    assert table.columns.labels == (
        "logit lens precision@1",
        "logit lens surprisal",
        "token identity precision@1",
        "token identity surprisal",
    )
    lens = values(table)[:, :2]
    assert lens[2, 0] == 1.0
    assert lens[0, 0] < 1.0  # an embedding says its own token
    own = values(look("logit-lens", HOP1, position=-1, layers=[6]))
    single = look("next-token", HOP1, layers=[6])
    torch.testing.assert_close(values(single)[0, 1], own[0, 0], atol=1e-4, rtol=1e-4)


def test_a_lens_fitted_for_another_model_is_refused(look: Look, tmp_path: Path) -> None:
    saved(tmp_path, 1, torch.zeros(128, 128), torch.zeros(128), "sha256:of another model")
    with pytest.raises(InvalidMapping, match="fitted for another source model"):
        look("tuned-lens", HOP1, mapping=str(tmp_path / "lens-1.safetensors"), layers=[1])
