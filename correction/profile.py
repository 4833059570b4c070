"""A profile: the deployable choice for one model, with the evidence it was chosen on.

A folder with `profile.json`, and `mapping.safetensors` where a mapping was fitted. `correction` only reads profiles;
`eval` makes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from correction.confidence import Confidence, Weights
from correction.errors import InvalidInput, InvalidProfile
from correction.forms import PLAIN, Forms
from correction.mappings import MAPPINGS, Mapping, check_fitted_for, load_mapping, mapping_named, save_mapping
from correction.models import LoadedModel
from correction.prompts import PLACEHOLDER

SCHEMA_VERSION = 3
FILE, MAPPING_FILE = "profile.json", "mapping.safetensors"
FITTED = "fitted"  # the mapping of a choice that is the profile's own, in MAPPING_FILE
DEPLOYABLE = ("deployed", "two_step", "direct")
CHOICES = ("choice", "patched", "mid_layer", "back_patched")


@dataclass(frozen=True)
class Choice:
    """The layer that a bridge's state is taken from (1..L), the one it goes into (0..L-1), and the mapping's name."""

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
class Thresholds:
    """Where `deployed` changes its way; probabilities.

    exit, answer: a bridge or an answer read early with less is read again in full depth. sure: a bridge with less is
    weighed against the likeliest others, `bridges` altogether. select: below this confidence the plain answer is asked
    for too, and returned unless another is more confident by more than `margin`. bridge_tokens: a longer bridge falls
    back to text.
    """

    exit: float = 0.0
    answer: float = 0.0
    sure: float = 0.0
    select: float = 0.0
    bridges: int = 1
    bridge_tokens: int = 16
    margin: float = 0.0


@dataclass(frozen=True)
class Profile:
    """What is deployed for the model whose weights have this fingerprint: `hopfix calibrate` makes it.

    strategy: `deployed`, or `two_step` where calibration found patching no better. choice: what is deployed.
    answer_layer: the layer that the last hop is left at, None for the last.

    patched, mid_layer, back_patched: the best choices of those strategies; `back_patching` says that questions without
    hops are answered by the last of them. forms: how texts are put to the model. placeholder: the token that stands for
    the bridge in hop 2. evidence: what calibration found, as plain data. replay: questions that must be answered as
    they were. fitted: the profile's own mapping, asked for as `fitted`.
    """

    model: str
    fingerprint: str
    choice: Choice
    patched: Choice
    mid_layer: Choice
    back_patched: Choice
    strategy: str = "deployed"
    answer_layer: int | None = None
    back_patching: bool = False
    thresholds: Thresholds = Thresholds()
    confidence: Confidence = field(default_factory=lambda: Confidence({}))
    forms: Forms = PLAIN
    placeholder: str = PLACEHOLDER
    evidence: dict[str, Any] = field(default_factory=dict)
    replay: tuple[Replay, ...] = ()
    schema_version: int = SCHEMA_VERSION
    fitted: Mapping | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Short and unique: the model and the start of its fingerprint."""
        return f"{Path(self.model).name}@{self.fingerprint.removeprefix('sha256:')[:12]}"

    @classmethod
    def uncalibrated(
        cls, loaded: LoadedModel, max_tokens: int, forms: Forms = PLAIN, strategy: str = "two_step"
    ) -> Profile:
        """What a model without a profile is used with: text, since nobody has measured a patch on it.

        The choices are for those who ask for a patch: the vocabulary mapping from the last layer into layer 0.
        """
        depth = loaded.parts.depth
        # Without calibration there is no best pair; the middle of the source, early in the target, is the usual guess.
        middle = Choice(max(1, depth // 2), min(1, depth - 1), "identity")
        return cls(
            model=loaded.name,
            fingerprint=loaded.fingerprint,
            choice=Choice(depth, 0, "vocabulary"),
            patched=middle,
            mid_layer=middle,
            back_patched=replace(middle, source_layer=max(2, depth - 1) if depth > 1 else 1),
            thresholds=Thresholds(bridge_tokens=max_tokens),
            strategy=strategy,
            forms=forms,
        )

    @property
    def why_text(self) -> str:
        """Why the profile answers by text."""
        if not self.evidence:
            return "the model has no profile, so nobody has measured whether a patch helps it"
        return f"calibration found {self.strategy} no worse"

    def mapping(self, choice: Choice) -> Mapping:
        """The choice's mapping. Raises `InvalidInput` for an unknown one, `InvalidMapping` for a damaged file."""
        if choice.mapping == FITTED and self.fitted is not None:
            return self.fitted
        return mapping_named(choice.mapping)

    def save(self, folder: Path) -> None:
        """Writes the folder. What is there stays as it is until all of the new one is on the disk."""
        folder.mkdir(parents=True, exist_ok=True)
        fields = {name: value for name, value in asdict(replace(self, fitted=None)).items() if name != "fitted"}
        partial = folder / f"{FILE}.partial"
        try:
            partial.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            if self.fitted is not None:
                save_mapping(self.fitted, folder / MAPPING_FILE)
            partial.replace(folder / FILE)
        finally:
            partial.unlink(missing_ok=True)

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
            for name in CHOICES:
                fields[name] = Choice(**fields[name])
            fields["thresholds"] = Thresholds(**fields["thresholds"])
            routes = fields["confidence"]["routes"]
            fields["confidence"] = Confidence({route: Weights(**weights) for route, weights in routes.items()})
            fields["forms"] = Forms.from_fields(fields["forms"])
            fields["replay"] = tuple(Replay(**entry) for entry in fields["replay"])
            profile = cls(**fields)
        except FileNotFoundError:
            raise InvalidProfile(_missing(folder), hint="give the folder that 'hopfix calibrate' wrote") from None
        except OSError as error:
            raise InvalidProfile(f"cannot read {path}", hint=str(error)) from error
        except InvalidInput as error:
            raise InvalidProfile(f"{path} has prompts that this hopfix does not know: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidProfile(f"{path} is not a profile", hint=f"calibrate again ({error!r})") from error
        if any(choice.mapping == FITTED for choice in profile.choices):
            profile = replace(profile, fitted=load_mapping(folder / MAPPING_FILE))
        profile.check()
        return profile

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice of the profile."""
        return tuple(getattr(self, name) for name in CHOICES)

    def check(self) -> None:
        """Raises `InvalidProfile` for an unknown mapping or strategy, and for evidence or a number that is none."""
        for choice in self.choices:
            if choice.mapping not in MAPPINGS and not (choice.mapping == FITTED and self.fitted is not None):
                raise InvalidProfile(
                    f"the profile's mapping {choice.mapping!r} is unknown", hint=f"known: {', '.join(sorted(MAPPINGS))}"
                )
        numbers = [*asdict(self.thresholds).values()]
        numbers += [value for weights in self.confidence.routes.values() for value in asdict(weights).values()]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
            raise InvalidProfile("a threshold or weight of the profile is no number", hint="calibrate again")
        if not isinstance(self.evidence, dict):
            raise InvalidProfile("the profile's evidence is no JSON object", hint="calibrate again")
        if self.strategy not in DEPLOYABLE:
            raise InvalidProfile(
                f"the profile's strategy {self.strategy!r} is unknown", hint=f"known: {', '.join(DEPLOYABLE)}"
            )

    def check_model(self, loaded: LoadedModel) -> None:
        """Raises `InvalidProfile` unless the profile was made for these weights, and its layers exist."""
        if self.fingerprint != loaded.fingerprint:
            raise InvalidProfile(
                f"the profile was made for the model {self.model!r} ({self.fingerprint[:19]}...), "
                f"not for {loaded.name!r} ({loaded.fingerprint[:19]}...)",
                hint="give that model's own profile, or calibrate one",
            )
        for choice in self.choices:
            check_choice(choice, loaded.parts.depth)
            if choice.mapping == FITTED and self.fitted is not None:
                check_fitted_for(
                    self.fitted, loaded.fingerprint, loaded.fingerprint, choice.source_layer, choice.target_layer
                )


def _missing(folder: Path) -> str:
    if (folder / "journal.jsonl").exists():
        return f"the calibration of {folder} was not finished: run it again, it goes on where it was"
    return f"no {FILE} in {folder}"


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
