"""The tokenizer in a GGUF file as the file describes it, where transformers makes another one of it.

transformers 5 knows how some of the vocabularies split a text into words before they merge anything, and takes GPT-2's
way for all others; SmolLM2 splits digits off, which is lost by that. It takes no notice of whether a text starts with a
token of its own, or with a space. What the file leaves out means what it means to llama.cpp, which such files are made
for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase

CONTROL = 3  # a token's type in the file
# Words as llama.cpp splits them off before merging, by tokenizer.ggml.pre, where transformers has no entry of its own.
GPT2_WORDS = (
    *(
        "default",
        "gpt-2",
        "phi-2",
        "gigachat",
        "a.x-4.0",
        "mellum",
        "mpt",
        "olmo",
        "jais",
        "trillion",
        "granite-docling",
    ),
    "exaone4",
)
SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
# Whole words are looked up before anything is merged; a text starts with a token of its own unless the file says no.
WHOLE_WORDS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
STARTS = (*WHOLE_WORDS, "chameleon")
# Tokens that end a turn in one family or another: the file names one, and a chat may end with others.
ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<turn|>"),
    *("<|endoftext|>", "<|end_of_text|>", "<|end_of_turn|>", "<EOT>", "<eos>", "</s>"),
)
log = logging.getLogger(__name__)


def mend(tokenizer: PreTrainedTokenizerBase, metadata: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The same tokenizer, changed where the file says otherwise."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        _split_words(tokenizer, str(metadata.get("tokenizer.ggml.pre", "default")))
    elif kind == "llama" and metadata.get("tokenizer.ggml.add_space_prefix") is False:
        _start_without_space(tokenizer)
    _start_and_end(tokenizer, metadata, kind)
    return tokenizer


def end_ids(metadata: Mapping[str, Any]) -> list[int]:
    """Ids that end a sequence or a turn, the file's own first."""
    tokens, types = metadata.get("tokenizer.ggml.tokens") or (), metadata.get("tokenizer.ggml.token_type") or ()
    ids = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    control = {token: n for n, (token, kind) in enumerate(zip(tokens, types, strict=False)) if kind == CONTROL}
    ids += [control[token] for token in ENDS if token in control]
    return list(dict.fromkeys(int(token) for token in ids if token is not None))


def _split_words(tokenizer: PreTrainedTokenizerBase, how: str) -> None:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if how in SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    if how in WHOLE_WORDS:
        tokenizer.backend_tokenizer.model.ignore_merges = True
    if how not in (*GPT2_WORDS, *SINGLE_DIGITS, *GGUF_PRE_TOKENIZER_SPLITS):
        log.warning("words are split as GPT-2's are: it is not known how this tokenizer (%s) splits them", how)


def _start_without_space(tokenizer: PreTrainedTokenizerBase) -> None:
    backend = tokenizer.backend_tokenizer
    if isinstance(backend.pre_tokenizer, pre_tokenizers.Metaspace):
        backend.pre_tokenizer.prepend_scheme = "never"
    elif backend.normalizer is not None:
        backend.normalizer = normalizers.Replace(" ", "\u2581")


def _start_and_end(tokenizer: PreTrainedTokenizerBase, metadata: Mapping[str, Any], kind: object) -> None:
    """The tokens around every text; what transformers made stays where the file is silent and the kind another one."""
    if kind not in ("gpt2", "llama", "t5") and "tokenizer.ggml.add_bos_token" not in metadata:
        return
    starts = kind == "llama" or metadata.get("tokenizer.ggml.pre") in STARTS
    start = metadata.get("tokenizer.ggml.add_bos_token", starts)
    end = metadata.get("tokenizer.ggml.add_eos_token", kind == "t5")
    before = [tokenizer.bos_token] if start and tokenizer.bos_token else []
    after = [tokenizer.eos_token] if end and tokenizer.eos_token else []
    text, pair = [*before, "$A", *after], [*before, "$A", *after, "$B:1", *(f"{token}:1" for token in after)]
    around = processors.TemplateProcessing(
        single=text,
        pair=pair,
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in {*before, *after}],
    )
    tokenizer.backend_tokenizer.post_processor = (
        processors.Sequence([processors.ByteLevel(trim_offsets=False), around]) if kind == "gpt2" else around
    )
