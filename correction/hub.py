"""Profiles on the Hugging Face hub: a repository of type model whose files are a profile's. Imports no torch.

Of a repository that is served from, no more is fetched than what a profile is read from: JSON and safetensors.
HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME and HF_TOKEN mean what they always do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from correction.errors import HubError, InvalidInput

READ = ("profile.json", "mapping.safetensors")  # all that a profile is read from
LOGIN = "log in with 'hf auth login', or set HF_TOKEN"
_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@\S+)?")
log = logging.getLogger(__name__)


def profile_folder(given: str | Path, *, fresh: bool = False) -> Path:
    """The folder of that name, `demo`'s own, which is bundled, or ORG/NAME or ORG/NAME@REVISION from the hub, fetched
    if it has changed.

    What is in the cache stands in for a hub that cannot be reached, unless it must be `fresh`. Raises `HubError`. A
    name that cannot be on the hub is given back: whoever reads the folder says what is wrong with it.
    """
    if str(given) == "demo" and not Path(given).exists():
        from correction.models import demo_profile_folder  # which comes with torch

        return demo_profile_folder()
    return Path(given) if not on_hub(given) else fetched(str(given), READ, fresh=fresh)


def on_hub(given: str | Path) -> bool:
    """Whether it is a profile's id on the hub; a folder that is here has precedence."""
    return _ID.fullmatch(str(given)) is not None and not Path(given).exists()


def repository_of(given: str) -> tuple[str, str | None]:
    """ORG/NAME and the revision after its @, if there is one; raises `InvalidInput`."""
    if not _ID.fullmatch(given):
        raise InvalidInput(f"{given!r} is no name on the hub", hint="write it as ORG/NAME or ORG/NAME@REVISION")
    repository, _, revision = given.partition("@")
    return repository, revision or None


def fetched(given: str, patterns: Sequence[str], *, fresh: bool = False) -> Path:
    """The folder in the hub's cache that holds the files of these patterns; raises `HubError`."""
    repository, revision = repository_of(given)
    with plainly(given):
        if fresh:
            revision = HfApi().repo_info(repository, revision=revision).sha
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    log.info("profile %s at commit %s", given, folder.name)
    return folder


@contextmanager
def plainly(given: str) -> Iterator[None]:
    """Turns what the hub's client raises into one `HubError` that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise HubError(f"{given} is not open to everybody", hint=f"ask for access on its page, then {LOGIN}") from error
    except RevisionNotFoundError as error:
        raise HubError(f"{given}: no such revision", hint="give a branch, a tag or a commit that it has") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        hint = f"give a folder that is here, or an id that is on the hub; if it is private, {LOGIN}"
        raise HubError(f"there is no folder and no repository {given}", hint=hint) from error
    except RemoteEntryNotFoundError as error:
        raise HubError(f"the hub has no file {given}", hint="look at the names of the repository's files") from error
    except LocalEntryNotFoundError as error:
        raise _unreachable(given, error) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            raise HubError(f"the hub asks who you are to change {given}", hint=LOGIN) from error
        if status == 403:
            hint = "use a token with the right to write there, or a name of your own"
            raise HubError(f"your token may not change {given}", hint=hint) from error
        raise HubError(f"the hub answered {status} for {given}", hint="try again later") from error
    except (ConnectionError, TimeoutError) as error:  # HF_HUB_OFFLINE is a ConnectionError too
        raise _unreachable(given, error) from error
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        hint = "set HF_HOME to a folder that can be written to, on a disk with room"
        raise HubError(f"cannot keep {given} in the hub's cache ({reason})", hint=hint) from error
    except ValueError as error:  # a file name that leaves the folder, or what is no answer of a hub
        hint = "take another repository; if it is so with every one, look at HF_ENDPOINT"
        raise HubError(f"cannot take {given} as the hub has it ({error})", hint=hint) from error
    except Exception as error:  # no network: in the words of whichever HTTP library the client has
        raise _unreachable(given, error) from error


def _unreachable(given: str, error: Exception) -> HubError:
    return HubError(
        f"cannot reach the hub for {given} ({type(error).__name__})",
        hint="look at the network, HF_ENDPOINT and HF_HUB_OFFLINE, or take a folder from a machine that reaches it",
    )
