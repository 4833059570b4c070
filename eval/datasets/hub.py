"""A dataset by its path, or by its id on the hub: then the file of its published name is fetched, once."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from correction.errors import InvalidInput
from eval.datasets.base import Dataset

_ID = re.compile(r"[\w.-]+/[\w.-]+")


def fetched(given: str, dataset: Dataset) -> Path:
    """The path that was given if it is there, else the file of the hub's dataset ORG/NAME, or ORG/NAME:FILE.

    Raises `InvalidInput` where neither is to be had. HF_HUB_OFFLINE and HF_HOME mean what they always do.
    """
    path = Path(given)
    repository, _, file = given.partition(":")
    if path.exists() or not _ID.fullmatch(repository) or Path(repository).suffix in (".jsonl", ".json", ".csv", ".tsv"):
        return path
    patterns = [file] if file else list(dataset.files)
    if not patterns:
        raise InvalidInput(f"cannot read {given}", hint="there is no such file", param="questions")
    try:
        folder = Path(
            snapshot_download(
                repository, repo_type="dataset", allow_patterns=[*patterns, *(f"**/{p}" for p in patterns)]
            )
        )
    except (RepositoryNotFoundError, HFValidationError):
        hint = "give a file that is here, or the id of a dataset on the hub"
        raise InvalidInput(f"there is no file and no dataset {given}", hint=hint, param="questions") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        hint = "download it elsewhere and give its path"
        raise InvalidInput(
            f"cannot fetch {given} from the hub ({type(error).__name__})", hint=hint, param="questions"
        ) from None
    for pattern in patterns:
        for found in sorted(folder.rglob("*")):
            if found.is_file() and fnmatch(found.name, Path(pattern).name):
                return found
    raise InvalidInput(
        f"{repository} has no file called {' or '.join(patterns)}",
        hint="name one of its files: ORG/NAME:FILE",
        param="questions",
    )
