"""Token ids as text, one at a time: what each adds to the text before it."""

from __future__ import annotations

from collections.abc import Sequence

from correction.models import LoadedModel

UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # how a decoder writes bytes that are no whole character
CONTEXT = 5  # tokens before a text: enough to know whether it begins with a space


class Detokenizer:
    """The text that follows `before`, token ids that are decoded already.

    A token that ends in the middle of a character adds nothing; that which completes the character adds all of it.
    Decoding goes over a few tokens at a time, as the text before them cannot change any more. (A decoder with byte
    fallback can still take ASCII back that was spelled in bytes, when bytes follow that are no character.)
    """

    def __init__(self, loaded: LoadedModel, before: Sequence[int] = ()) -> None:
        self._loaded = loaded
        self._tokens = list(before[-CONTEXT:])  # the context of what comes next, and what is not said yet
        self._said = len(self._tokens)  # how many of those are context

    def add(self, token: int) -> str:
        """What the token adds."""
        self._tokens.append(token)
        before, now = self._both()
        if len(now) <= len(before) or now.endswith(UNFINISHED):
            return ""
        del self._tokens[: self._said]
        self._said = len(self._tokens)
        return now[len(before) :]

    def rest(self) -> str:
        """What the last tokens add if nothing follows: an unfinished character."""
        before, now = self._both()
        self._said = len(self._tokens)
        return now[len(before) :]

    def _both(self) -> tuple[str, str]:
        return self._loaded.text(self._tokens[: self._said]), self._loaded.text(self._tokens)
