"""From a question to its two hops: read from its grammar, else asked of the model."""

from correction.decomposition.grammar import split_question
from correction.decomposition.model import ask_model

__all__ = ["ask_model", "split_question"]
