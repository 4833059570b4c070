"""Every error that hopfix raises on purpose: what is wrong, what to do (`hint`), and whether trying again may help."""

from __future__ import annotations

from typing import Self


class HopfixError(Exception):
    """Base of all. `param` names the offending field where there is one, `hint` says what to do."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.param = param


class InvalidInput(HopfixError):
    """What was asked cannot be done as asked (400 over HTTP, exit 1 in the shell)."""


class PromptTooLong(InvalidInput):
    """A prompt with its answer does not fit into the model's context."""


class ModelNotFound(HopfixError):
    """No such model folder or hub id, or it cannot be loaded."""


class UnsupportedModel(HopfixError):
    """The model's parts cannot be found, or it is not a causal language model."""


class InvalidProfile(HopfixError):
    """A profile that cannot be read, or that was made for another model."""


class HubError(HopfixError):
    """What was asked of the Hugging Face hub was not to be had."""


class InvalidMapping(HopfixError):
    """A mapping that cannot be read from its file, or that was fitted for other models."""


class EngineUnavailable(HopfixError):
    """The engine cannot answer now (503 over HTTP)."""

    retryable = True


class PatchNotApplied(HopfixError):
    """A patch was asked for and did not take place: the pass has failed, whatever text it gave."""

    @classmethod
    def counted(cls, applied: int, asked: int) -> Self:
        """Fewer of a pass's patches than were asked for, or more."""
        hint = (
            "'hopfix models MODEL' says whether this architecture is tested, 'hopfix doctor' whether vLLM is in range"
        )
        return cls(f"{applied} of {asked} patches were applied", hint=hint)
