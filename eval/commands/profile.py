"""`hopfix profile`: what a profile says, and sharing one as a repository on the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from correction.profile import Profile

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Show a profile, or share it on the Hugging Face hub.",
)
CARD, REPORT = "README.md", "report.md"
SHARED = ("profile.json", "mapping.safetensors", CARD, REPORT, "*.png")

Name = Annotated[str, typer.Argument(metavar="ORG/NAME", help="On the hub; for pull and show perhaps @REVISION.")]


@app.command()
def show(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A folder, or ORG/NAME[@REVISION] on the hub; 'demo' is bundled.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what model a profile is for, what it does, and on what evidence."""
    from correction.hub import profile_folder
    from correction.profile import Profile
    from eval.calibration.verdict import verdict

    shown = Profile.load(profile_folder(profile))
    choice, evidence = shown.choice, shown.evidence
    about = {
        "model": shown.model,
        "fingerprint": shown.fingerprint,
        "strategy": shown.strategy,
        "patch": f"layer {choice.source_layer} to layer {choice.target_layer}, {choice.mapping}",
        "questions": f"{evidence.get('questions', 'unknown')} over {evidence.get('bridges', 'unknown')} bridges",
        "verdict": verdict(shown),
    }
    if as_json:
        sys.stdout.write(json.dumps({**about, "evidence": evidence}) + "\n")
    else:
        sys.stdout.write("".join(f"{name:<12}{value}\n" for name, value in about.items()))


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder that 'hopfix calibrate' wrote.")],
    name: Name,
    private: Annotated[bool, typer.Option("--private", help="Seen by you and your organisation alone.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, made if it is not there; default: main.")] = None,
    license: Annotated[str, typer.Option(help="As the hub names it, for the card.")] = "apache-2.0",
) -> None:
    """Share a profile: its files, its report, and a card if neither the folder nor the hub has a README.md."""
    from dataclasses import replace

    from huggingface_hub import CommitOperationAdd, HfApi

    from correction.errors import InvalidInput
    from correction.hub import plainly, repository_of
    from correction.profile import FILE, Profile
    from eval.calibration.card import card

    repository, at = repository_of(name)
    if at is not None:
        raise InvalidInput(f"{name} has a revision in it", hint="name the branch with --revision")
    profile = Profile.load(folder)  # before anything is made of it on the hub
    files = {path.name: path.read_bytes() for path in _shared(folder)}
    named = replace(profile, model=_public(profile.model))
    files[FILE] = _published(named, files[FILE])
    report = files.get(REPORT, b"").decode(errors="replace")
    api = HfApi()
    with plainly(repository):
        api.create_repo(repository, private=private or None, exist_ok=True)
        if revision:
            api.create_branch(repository, branch=revision, exist_ok=True)
        if CARD not in files and not api.file_exists(repository, CARD, revision=revision):  # one there may be edited
            files[CARD] = card(named, repository, license, report).encode()
        done = api.create_commit(
            repository,
            [CommitOperationAdd(path, content) for path, content in files.items()],
            commit_message=f"Profile {profile.name}",
            revision=revision,
        )
    sys.stdout.write(f"{done.commit_url}\n")
    newest = f"{repository}@{revision}" if revision else repository
    sys.stderr.write(f"use it with --profile {newest}, or {repository}@{done.oid} for exactly this commit\n")


@app.command()
def pull(name: Name, out: Annotated[Path, typer.Option(help="Folder for it: a new one, or an empty one.")]) -> None:
    """Fetch a profile with its report into a folder."""
    from correction.errors import InvalidInput
    from correction.hub import fetched
    from correction.profile import FILE, Profile

    made = not out.exists()
    if not made and any(out.iterdir()):
        raise InvalidInput(f"{out} is not empty", hint="choose a new folder", param="out")
    folder = fetched(name, SHARED)
    Profile.load(folder)  # what is no profile is not kept
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(_shared(folder), key=lambda path: path.name == FILE)  # a folder without it is no profile yet
    try:
        for path in files:
            shutil.copyfile(path, out / path.name)
    except BaseException:
        for path in files:
            (out / path.name).unlink(missing_ok=True)
        if made:
            out.rmdir()
        raise
    sys.stdout.write(f"{out / FILE}\n")


def _shared(folder: Path) -> list[Path]:
    """What others get of a folder, and take from one. The hub's own patterns would go into subfolders."""
    return [path for pattern in SHARED for path in sorted(folder.glob(pattern)) if path.is_file()]


def _published(named: Profile, content: bytes) -> bytes:
    """profile.json as others get to see it: where a model lies here is nobody's business."""
    fields: dict[str, Any] = json.loads(content)
    fields["model"] = named.model
    return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()


def _public(model: str) -> str:
    """The model's name without the folders that it lies in; a hub id is one."""
    path = Path(model)
    return path.name if path.exists() or path.is_absolute() or model.count("/") > 1 else model
