"""The mappings that are not fitted: the same for every model."""

from __future__ import annotations

from torch import Tensor

from correction.architecture import Blocks
from correction.mappings.added import ADDED
from correction.mappings.base import Mapping


class Identity:
    """The state as it is (Patchscopes, section 3; the mapping of its multi-hop experiment)."""

    name = "identity"
    widths: tuple[int, int] | None = None
    embeds = False

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        return source


class NormMatched:
    """The state scaled to the length of the one it replaces: later layers have longer states."""

    name = "norm_matched"
    widths: tuple[int, int] | None = None
    embeds = False

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        length: Tensor = target.norm(dim=-1, keepdim=True) / source.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return source * length


class Vocabulary:
    """f(h) = softmax(norm(h) U^T) E: the expected embedding of the token that the state predicts.

    Across two models that share a vocabulary, U is the source's and E the target's, whatever their widths.
    """

    name = "vocabulary"
    widths: tuple[int, int] | None = None
    embeds = True

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        return parts.mix(origin.predict(source).float().softmax(-1))


class HardToken:
    """The embedding of the likeliest token that the state predicts: the vocabulary mapping made one-hot."""

    name = "hard_token"
    widths: tuple[int, int] | None = None
    embeds = True

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        return parts.lookup(origin.predict(source).argmax(-1))


class Token:
    """The embedding of a token that is given by its id, shape (1,): a one-hot vocabulary patch of a chosen token."""

    name = "token"
    widths: tuple[int, int] | None = None
    embeds = True

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        return parts.lookup(source.squeeze(-1))


IDENTITY, TOKEN = Identity(), Token()  # the second takes no hidden state: nothing asks for it by name
MAPPINGS: dict[str, Mapping] = {m.name: m for m in (IDENTITY, NormMatched(), ADDED, Vocabulary(), HardToken())}
