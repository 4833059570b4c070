"""Exact match and F1 as SQuAD defines them (Rajpurkar et al. 2016), taken over the accepted aliases."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and extra space."""
    return " ".join(_ARTICLES.sub(" ", without_punctuation(text)).split())


def without_punctuation(text: str) -> str:
    """Lower case, without ASCII's punctuation: the first step of `normalise`."""
    return text.lower().translate(_PUNCTUATION)


def exact_match(predicted: str, accepted: Iterable[str]) -> bool:
    """Whether the prediction equals one of the accepted answers after normalisation; an empty one never does."""
    said = normalise(predicted)
    return bool(said) and any(said == normalise(answer) for answer in accepted)


def f1(predicted: str, accepted: Iterable[str]) -> float:
    """The best token F1 over the accepted answers."""
    return max((_f1(normalise(predicted).split(), normalise(answer).split()) for answer in accepted), default=0.0)


def _f1(predicted: list[str], gold: list[str]) -> float:
    common = sum((Counter(predicted) & Counter(gold)).values())
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(gold)
    return 2 * precision * recall / (precision + recall)
