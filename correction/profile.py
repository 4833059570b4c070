"""A profile: the deployable choice for one model, with the evidence it was chosen on.

A folder with `profile.json`. `correction` only reads profiles; `eval` makes them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from correction.errors import InvalidInput, InvalidProfile
from correction.mappings import MAPPINGS
from correction.models import LoadedModel

SCHEMA_VERSION = 1
FILE = "profile.json"


@dataclass(frozen=True)
class Choice:
    """Where a bridge's state is taken from, where it goes, and through which mapping."""

    source_layer: int
    target_layer: int
    mapping: str


@dataclass(frozen=True)
class Replay:
    """A question with the answer the profile gave when it was made: replayed before a service says it is ready."""

    question: str
    hop1: str
    hop2: str
    answer: str


@dataclass(frozen=True)
class Profile:
    """`choice` is deployed, `patched` is the best identity pair. A bridge less probable than `min_bridge_probability`
    falls back to text; one of more than `max_bridge_tokens` tokens, too.
    """

    model: str
    fingerprint: str
    choice: Choice
    patched: Choice
    min_bridge_probability: float
    max_bridge_tokens: int
    placeholder: str
    evidence: dict[str, Any] = field(default_factory=dict)
    replay: tuple[Replay, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def name(self) -> str:
        """Short and unique: the model and the start of its fingerprint."""
        return f"{Path(self.model).name}@{self.fingerprint.removeprefix('sha256:')[:12]}"

    def save(self, folder: Path) -> None:
        """Writes the folder; `profile.json` appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{FILE}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Profile:
        """Reads a folder; raises `InvalidProfile` saying what is wrong with it."""
        path = folder / FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            version = fields["schema_version"]
            if version != SCHEMA_VERSION:
                raise InvalidProfile(
                    f"{path} has schema version {version}, this hopfix reads {SCHEMA_VERSION}",
                    hint="update hopfix" if version > SCHEMA_VERSION else "calibrate again",
                )
            fields["choice"] = Choice(**fields["choice"])
            fields["patched"] = Choice(**fields["patched"])
            fields["replay"] = tuple(Replay(**entry) for entry in fields["replay"])
            profile = cls(**fields)
        except FileNotFoundError:
            raise InvalidProfile(
                f"no {FILE} in {folder}", hint="give the folder that 'hopfix calibrate' wrote"
            ) from None
        except OSError as error:
            raise InvalidProfile(f"cannot read {path}", hint=str(error)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidProfile(f"{path} is not a profile", hint=f"calibrate again ({error!r})") from error
        profile.check()
        return profile

    def check(self) -> None:
        """Raises `InvalidProfile` for an unknown mapping."""
        for choice in (self.choice, self.patched):
            if choice.mapping not in MAPPINGS:
                raise InvalidProfile(
                    f"the profile's mapping {choice.mapping!r} is unknown", hint=f"known: {', '.join(sorted(MAPPINGS))}"
                )

    def check_model(self, loaded: LoadedModel) -> None:
        """Raises `InvalidProfile` unless the profile was made for these weights, and its layers exist."""
        if self.fingerprint != loaded.fingerprint:
            raise InvalidProfile(
                f"the profile was made for the model {self.model!r} ({self.fingerprint[:19]}...), "
                f"not for {loaded.name!r} ({loaded.fingerprint[:19]}...)",
                hint="give that model's own profile, or calibrate one",
            )
        for choice in (self.choice, self.patched):
            check_choice(choice, loaded.parts.depth)


def check_choice(choice: Choice, depth: int) -> None:
    """Raises `InvalidInput` for layers outside the grid l in 1..L, l* in 0..L-1."""
    if not 1 <= choice.source_layer <= depth:
        raise InvalidInput(
            f"source layer {choice.source_layer} is out of range", hint=f"1 to {depth}", param="source_layer"
        )
    if not 0 <= choice.target_layer < depth:
        raise InvalidInput(
            f"target layer {choice.target_layer} is out of range", hint=f"0 to {depth - 1}", param="target_layer"
        )


def default_choice(depth: int) -> Choice:
    """What a model without a profile is used with: the vocabulary mapping from the last layer into layer 0."""
    return Choice(depth, 0, "vocabulary")
