"""The key: checked in constant time, before anything of the request is read."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from service.errors import Unauthorised
from service.state import Shared


async def authorise(request: Request, state: Shared) -> None:
    """Raises `Unauthorised` unless the request carries the key, where one is set."""
    if state.settings.api_key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = state.settings.api_key.get_secret_value().encode()
    # Headers arrive as Latin-1: encoding them so gives back the bytes that were sent.
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), expected):
        raise Unauthorised("the API key is missing or wrong", hint="send the header 'Authorization: Bearer KEY'")
