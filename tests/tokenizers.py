"""Small tokenizers of the two kinds that make text of bytes."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL = ("<bos>", "<eos>", "<unk>")


def bytes_alone() -> PreTrainedTokenizerBase:
    """A token for each byte, as GPT-2's without merges: most characters beyond ASCII take several."""
    vocabulary = {token: n for n, token in enumerate((*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer)


def bytes_as_a_last_resort() -> PreTrainedTokenizerBase:
    """Letters, and words with a mark for the space before them, as SentencePiece has them; bytes for all else."""
    words = ("▁", "▁The", "▁cap", "ital", "▁of", "▁é", *"abcdefghijklmnopqrstuvwxyz.,!?TQ")
    vocabulary = {token: n for n, token in enumerate((*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *words))}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _fast(tokenizer)


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], unk_token=SPECIAL[2]
    )
