"""A world's tokenizer: one token for every wording word and every name of its one-token kinds, pieces for the others.

A unigram model over pieces with byte fallback. Its vocabulary is put together, not only trained: bridges of one kind
must be one token ("South Africa") and those of the other several ("Johannesburg"), so that both can be measured.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from eval.demo_world.corpus import capitalised
from eval.demo_world.world import World

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
PLACEHOLDER = "x"
NAME_PIECES = 2400
_WHOLE = -4.0  # log-probability of a whole token: better than any split of it, all pieces being rarer


def build_tokenizer(world: World, pieces: int = NAME_PIECES) -> PreTrainedTokenizerFast:
    """A tokenizer for the world's facts and wordings; any other text falls back to pieces and bytes."""
    whole = {PLACEHOLDER, "Q:"} | {name for kind in world.one_token_kinds for name in world.objects(kind)}
    for relation in world.relations.values():
        for text in (*relation.all_clozes(), *relation.all_questions()):
            whole.update(re.findall(r"[A-Za-z-]+", text.replace("{}", " ")))
            whole.update(re.findall(r"^[A-Za-z-]+", capitalised(text)))
    told = {name for fact in world for name in (fact.subject, fact.object)} | {told.subject for told in world.disputed}
    names = sorted(told - whole)
    vocabulary: dict[str, float] = {"\nA:": _WHOLE, "\n": _WHOLE, "'s": _WHOLE, "?": _WHOLE}
    vocabulary.update({"▁" + token.replace(" ", "▁"): _WHOLE for token in sorted(whole)})
    for piece, score in _name_pieces(names, pieces):
        vocabulary.setdefault(piece, min(score, _WHOLE - 1))

    special = [(token, 0.0) for token in (PAD, BOS, EOS, UNK)]
    bytes_ = [(f"<0x{byte:02X}>", -30.0) for byte in range(256)]
    model = models.Unigram([*special, *bytes_, *vocabulary.items()], unk_id=3, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    # Not the Metaspace decoder: it drops every space of the first token, and "South Africa" is one token.
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK, model_max_length=256
    )


def _name_pieces(names: list[str], count: int) -> list[tuple[str, float]]:
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.UnigramTrainer(vocab_size=count, unk_token=UNK, special_tokens=[UNK], show_progress=False)
    trained.train_from_iterator(names, trainer)
    state: dict[str, Any] = json.loads(trained.to_str())
    return [(piece, score) for piece, score in state["model"]["vocab"] if piece != UNK]
