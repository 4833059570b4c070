"""API keys: 256 random bits each, kept as digests.

A plain SHA-256 is enough for them: nobody chose them, so there is nothing to guess them from, and nothing to be gained
by making each guess slow.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from correction.errors import InvalidInput
from service.settings import Settings

DEFAULT = "default"  # the name of the key in HOPFIX_API_KEY
_LINE = re.compile(  # names stand in logs
    r"(?P<name>[A-Za-z0-9._-]{1,64}) sha256:(?P<digest>[0-9a-f]{64})(?P<admin> admin)?"
    r"( rate=(?P<rate>[0-9]{1,9}(\.[0-9]{1,9})?))?"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """A key's name, its SHA-256 in hexadecimal, what it may do, and its own rate in questions a second."""

    name: str
    digest: str
    admin: bool = False
    rate: float | None = None

    @classmethod
    def parse(cls, line: str) -> Key:
        """From a line of the file; raises `InvalidInput`."""
        found = _LINE.fullmatch(" ".join(line.split()))
        if found is None:
            raise InvalidInput(
                "this is no key's line",  # which is not repeated: it may be a key that was written here by mistake
                hint="write NAME sha256:DIGEST [admin] [rate=N] as 'hopfix key' does, "
                "with a NAME of at most 64 letters, digits, dots, dashes and underscores",
            )
        rate = None if found["rate"] is None else float(found["rate"])
        if rate == 0:
            raise InvalidInput("a rate of 0 lets nothing through", hint="remove the line to withdraw the key")
        return cls(found["name"], found["digest"], admin=found["admin"] is not None, rate=rate)

    def __str__(self) -> str:
        """Its line in the file."""
        rate = "" if self.rate is None else f" rate={self.rate:f}".rstrip("0").rstrip(".")
        return f"{self.name} sha256:{self.digest}{' admin' if self.admin else ''}{rate}"


class Keys:
    """The keys of these settings; raises `InvalidInput` where their file is wrong. False if no key is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.read()

    def read(self) -> None:
        """Reads the file again; if it is wrong, the keys stay as they were."""
        keys = {}
        for where, key in self._found():
            if key.name in keys:
                raise InvalidInput(
                    f"{where}: there is another key named {key.name!r}", hint="give each a name of its own"
                )
            keys[key.name] = key
        self._keys = keys

    def __bool__(self) -> bool:
        return self._settings.api_key is not None or self._settings.api_keys is not None

    def find(self, given: bytes) -> Key | None:
        """The key that is given. Compares it with all of them, so that the time says nothing."""
        digest = digest_of(given)
        found = None
        for key in self._keys.values():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def rate(self, client: str) -> float | None:
        """A client's rate in questions a second: its key's own, else that of all."""
        key = self._keys.get(client)
        return self._settings.rate if key is None or key.rate is None else key.rate

    def _found(self) -> Iterator[tuple[str, Key]]:
        if self._settings.api_key is not None:
            yield (
                "HOPFIX_API_KEY",
                Key(DEFAULT, digest_of(self._settings.api_key.get_secret_value().encode()), admin=True),
            )
        path = self._settings.api_keys
        if path is None:
            return
        for number, line in enumerate(_lines(path), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                where = f"{path}, line {number}"
                try:
                    yield where, Key.parse(line)
                except InvalidInput as error:
                    raise InvalidInput(f"{where}: {error.message}", hint=error.hint, param="api_keys") from None


def new_key() -> str:
    """A key that nobody can guess. What it begins with lets scanners find keys in places where they should not be."""
    return f"hopfix-{secrets.token_urlsafe(32)}"


def digest_of(key: bytes) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key).hexdigest()


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.stat().st_mode & 0o022:
            log.warning("%s can be written by other users, who could add keys of their own: chmod go-w", path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidInput(
            f"cannot read the keys in {path} ({reason})", hint="give --api-keys a text file", param="api_keys"
        ) from None
    return text.splitlines()
