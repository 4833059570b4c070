"""A mapping on disk: the same bit for bit when it comes back, and a clear error for every file that is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidInput, InvalidMapping
from correction.mappings import MAPPINGS, Chain, FittedMapping, load_mapping, save_mapping

Fit = Callable[[str], FittedMapping]
MODELS = {"source_model": "sha256:a", "target_model": "sha256:b", "source_layer": 2, "target_layer": 3}
GENERATOR = torch.Generator().manual_seed(0)
STATES, REPLACED = torch.randn(9, 6, generator=GENERATOR), torch.randn(9, 4, generator=GENERATOR)
NOWHERE: Any = None  # these mappings read no model


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, str]], object]) -> None:
    """The file with its tensors or metadata changed."""
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def rewrite_part(path: Path, **changes: Any) -> None:
    def change(tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["parts"] = json.dumps([{**json.loads(metadata["parts"])[0], **changes}])

    rewrite(path, change)


@pytest.mark.parametrize("kind", ["ridge", "procrustes", "mlp", "kernel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_comes_back_is_the_same_bit_for_bit(tmp_path: Path, fitted: Fit, kind: str, dtype: torch.dtype) -> None:
    mapping = fitted(kind)
    save_mapping(mapping, tmp_path / "deep" / "one.safetensors")
    loaded = load_mapping(tmp_path / "deep" / "one.safetensors")
    assert isinstance(loaded, type(mapping))
    assert loaded.fitted == mapping.fitted
    given, expected = (m(STATES.to(dtype), REPLACED.to(dtype), NOWHERE, NOWHERE) for m in (loaded, mapping))
    assert torch.equal(given, expected)
    assert given.dtype == dtype
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["one.safetensors"]


def test_a_chain_is_one_file(tmp_path: Path, fitted: Fit) -> None:
    chain = Chain((fitted("mlp"), MAPPINGS["norm_matched"]))
    save_mapping(chain, tmp_path / "chain.safetensors")
    loaded = load_mapping(tmp_path / "chain.safetensors")
    assert loaded.name == "mlp+norm_matched"
    given, expected = (m(STATES, REPLACED, NOWHERE, NOWHERE) for m in (loaded, chain))
    assert torch.equal(given, expected)


def test_the_metadata_say_what_was_fitted(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    (part,) = json.loads(metadata["parts"])
    assert metadata["schema_version"] == "1"
    assert part["kind"] == "ridge"
    assert part["objective"] == "min sum ||W h + b - t||^2 + lambda ||W||^2, lambda = 0.001 mean diag X^T X"
    assert {key: part[key] for key in MODELS} == MODELS
    assert part["widths"] == [6, 4]
    assert 100 < part["pairs"] < 120
    assert 0 < part["explained"] < 1


class TestDamage:
    def test_every_truncated_file_is_refused(self, saved: Path) -> None:
        whole = saved.read_bytes()
        for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
            saved.write_bytes(whole[:length])
            with pytest.raises(InvalidMapping, match=r"ridge\.safetensors: copy or fit it again"):
                load_mapping(saved)

    def test_every_changed_byte_of_the_weights_is_noticed(self, saved: Path) -> None:
        whole = bytearray(saved.read_bytes())
        for place in range(len(whole) - 100, len(whole), 9):
            changed = bytearray(whole)
            changed[place] ^= 1
            saved.write_bytes(bytes(changed))
            with pytest.raises(InvalidMapping, match=r"ridge\.safetensors: .*not those that were written"):
                load_mapping(saved)

    def test_text_and_folders_are_not_mappings(self, tmp_path: Path) -> None:
        text = tmp_path / "text.safetensors"
        text.write_text("a file of words, and not of weights")
        for path in (text, tmp_path):
            with pytest.raises(InvalidMapping, match="cannot read"):
                load_mapping(path)

    def test_a_models_weights_are_not_a_mapping(self, tmp_path: Path) -> None:
        save_file({"lm_head": torch.zeros(2)}, tmp_path / "model.safetensors")
        with pytest.raises(
            InvalidMapping, match=r"model\.safetensors: holds no mapping: give a file that 'hopfix fit'"
        ):
            load_mapping(tmp_path / "model.safetensors")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidMapping, match=r"no mapping file .*none\.safetensors: fit one with 'hopfix fit'"):
            load_mapping(tmp_path / "none.safetensors")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda tensors, _: tensors.pop("0.bias"), "tensor '0.bias' is missing: fit the mapping again"),
            (lambda tensors, _: tensors.update({"0.bias": torch.zeros(5)}), r"'bias' of shape \(5,\).*target = 4"),
            (lambda tensors, _: tensors.update({"0.weight": torch.zeros(4)}), r"\(4,\).*is not \(target, source\)"),
            (lambda tensors, _: tensors.update({"0.bias": torch.zeros(4).double()}), "float64"),
            (lambda tensors, _: tensors["0.bias"].fill_(torch.nan), "NaN or infinite"),
            (lambda tensors, _: tensors["0.weight"][1].fill_(torch.inf), "NaN or infinite"),
            (lambda tensors, _: tensors["0.weight"].zero_(), "not those that were written"),
            (lambda _, metadata: metadata.update(schema_version="2"), "schema version 2, .* reads 1: update hopfix"),
            (lambda _, metadata: metadata.update(schema_version="one"), "metadata of .* are damaged"),
            (lambda _, metadata: metadata.update(parts="{"), "metadata of .* are damaged"),
            (lambda _, metadata: metadata.update(parts="[]"), "at least two"),
            (lambda _, metadata: metadata.update(parts="[3]"), "metadata of .* are damaged"),
            (lambda _, metadata: metadata.pop("sha256"), "metadata of .* are damaged"),
        ],
    )
    def test_what_is_wrong_inside_is_named(self, saved: Path, change: Any, says: str) -> None:
        rewrite(saved, change)
        with pytest.raises(InvalidMapping, match=says) as raised:
            load_mapping(saved)
        assert str(saved) in str(raised.value)
        assert raised.value.hint

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("kind", "magic", "kind 'magic' is unknown: known: ridge, procrustes, mlp, kernel, identity"),
            ("kind", ["ridge"], "damaged"),
            ("widths", [6, 5], r"widths \(6, 4\), not \(6, 5\)"),
            ("pairs", "many", "damaged"),
            ("explained", None, "damaged"),
            ("colour", "green", "damaged"),
            ("pairs", 7, "not those that were written"),
        ],
    )
    def test_what_is_wrong_in_its_record_is_named(self, saved: Path, field: str, value: Any, says: str) -> None:
        rewrite_part(saved, **{field: value})
        with pytest.raises(InvalidMapping, match=says):
            load_mapping(saved)


class TestSaving:
    def test_a_reader_keeps_the_file_that_it_opened(self, saved: Path, fitted: Fit) -> None:
        before = saved.read_bytes()
        with saved.open("rb") as opened:
            save_mapping(fitted("mlp"), saved)
            assert opened.read() == before != saved.read_bytes()

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, saved: Path, fitted: Fit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = saved.read_bytes()

        def disk_full(path: Path, data: bytes) -> int:
            with path.open("wb") as stream:
                stream.write(data[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", disk_full)
        with pytest.raises(OSError, match="No space"):
            save_mapping(fitted("mlp"), saved)
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]

    @pytest.mark.parametrize("name", ["mapping.pt", "mapping", "a+b.safetensors"])
    def test_a_name_that_could_not_be_asked_for_is_refused(self, tmp_path: Path, fitted: Fit, name: str) -> None:
        with pytest.raises(InvalidInput, match="is no name for a mapping"):
            save_mapping(fitted("ridge"), tmp_path / name)

    def test_a_mapping_from_elsewhere_cannot_be_saved(self, tmp_path: Path) -> None:
        class Own:
            name, widths, embeds = "own", None, False

            def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
                return source

        with pytest.raises(InvalidInput, match="'own' cannot be saved"):
            save_mapping(Own(), tmp_path / "own.safetensors")

    def test_weights_that_are_no_numbers_never_become_a_mapping(self, fitted: Fit) -> None:
        with pytest.raises(InvalidMapping, match="'bias' has NaN or infinite values"):
            replace(fitted("ridge"), bias=torch.full((4,), torch.nan))
