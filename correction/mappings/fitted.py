"""What fitted mappings share: the record of what they were fitted on, and weights of known shapes on any device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from correction.architecture import Blocks
from correction.errors import InvalidMapping


@dataclass(frozen=True)
class Fitted:
    """What a mapping was fitted on and how well it did.

    kind: how it was fitted, which is also its name. objective: what was minimised, as a sentence. source_model,
    target_model: fingerprints. pairs: rows of states it was fitted on. explained: the fraction of the variance of
    held-out target states that it explains; 0 is the mean of the training targets, 1 is perfect, below 0 is worse.
    """

    kind: str
    objective: str
    source_model: str
    target_model: str
    source_layer: int
    target_layer: int
    pairs: int
    explained: float

    @property
    def crosses(self) -> bool:
        """Whether it takes states of one model to states of another."""
        return self.source_model != self.target_model


@dataclass(frozen=True, eq=False)
class FittedMapping(ABC):
    """A mapping with weights, float32 tensors that are all named in `SHAPES`; each kind starts from W h + b.

    Raises `InvalidMapping` if the weights do not fit one another or are not finite.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]]
    embeds: ClassVar[bool] = False

    fitted: Fitted
    weight: Tensor
    bias: Tensor
    _elsewhere: dict[torch.device, Self] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, axes in self.SHAPES.items():
            tensor = getattr(self, name)
            shape = tuple(tensor.shape)
            fits = len(shape) == len(axes) and all(
                size > 0 and sizes.setdefault(axis, size) == size for axis, size in zip(axes, shape, strict=True)
            )
            if not fits or tensor.dtype != torch.float32:
                raise InvalidMapping(
                    f"the weight {name!r} of shape {shape} ({tensor.dtype}) is not ({', '.join(axes)}) in float32 "
                    f"with {', '.join(f'{axis} = {size}' for axis, size in sizes.items())}",
                    hint="fit the mapping again",
                )
            if not bool(torch.isfinite(tensor).all()):
                raise InvalidMapping(f"the weight {name!r} has NaN or infinite values", hint="fit the mapping again")

    @property
    def name(self) -> str:
        """How it was fitted."""
        return self.fitted.kind

    @property
    def widths(self) -> tuple[int, int]:
        """Source and target width."""
        return self.weight.shape[1], self.weight.shape[0]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every weight by name."""
        return {name: getattr(self, name) for name in self.SHAPES}

    @abstractmethod
    def apply(self, states: Tensor) -> Tensor:
        """(rows, source width) -> (rows, target width), both float32 on the weights' device."""

    def on(self, device: torch.device) -> Self:
        """This mapping with its weights on a device: moved at the first use, then kept."""
        if self.weight.device == device:
            return self
        if device not in self._elsewhere:
            moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors.items()}
            self._elsewhere[device] = replace(self, **moved)
        return self._elsewhere[device]

    def __call__(self, source: Tensor, target: Tensor, origin: Blocks, parts: Blocks) -> Tensor:
        """Computes in float32 whatever the models' dtype; neither the replaced states nor the models are read."""
        return self.on(source.device).apply(source.float()).to(target.dtype)


FITTED_FIELDS = {f.name: {"str": str, "int": int, "float": float}[str(f.type)] for f in fields(Fitted)}
