"""Who is asking, and whether they may: checked before anything of the request's body is read."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from service.errors import Forbidden, Unauthorised
from service.keys import DEFAULT
from service.middleware import HEADER
from service.settings import ANY_ORIGIN
from service.state import Shared


async def authenticate(request: Request, state: Shared) -> None:
    """Raises `Unauthorised` unless the request carries a key, where there are keys.

    Sets `request.state.client`, the key's name or without keys the address, and `request.state.admin`.
    """
    if not state.keys:
        request.state.client, request.state.admin = request.client.host if request.client else "unknown", True
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Headers arrive as Latin-1: encoding them so gives back the bytes that were sent.
    key = state.keys.find(given.strip().encode("latin-1")) if scheme.lower() == "bearer" else None
    if key is None:
        raise Unauthorised("the API key is missing or wrong", hint="send the header 'Authorization: Bearer KEY'")
    request.state.client, request.state.admin = key.name, key.admin


async def authorise(request: Request, state: Shared) -> None:
    """`authenticate`, for what models are asked: also keeps out web pages that may not call, and counts a question.

    A page that its user only looks at could otherwise ask a service on the user's own machine, where there is no key.
    """
    await authenticate(request, state)
    origin = request.headers.get("origin")
    if origin is not None and not {origin, ANY_ORIGIN} & state.settings.origins and not _own(origin, request, state):
        raise Forbidden(f"a page of {origin} may not call", hint="the operator allows pages with --cors-origins")
    if request.method == "POST":
        state.rates.take(request.state.client)


def _own(origin: str, request: Request, state: Shared) -> bool:
    """Whether it is the service's own page that asks.

    A page of elsewhere may have its name point at this machine (DNS rebinding), and then has our origin under a name of
    its own. Without keys only names count that nobody can give away: addresses, and localhost.
    """
    host = request.headers.get("host", "")
    return origin.partition("://")[2] == host and (bool(state.keys) or _cannot_be_given_away(host))


def _cannot_be_given_away(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


async def administrate(request: Request) -> None:
    """After `authorise`, for what changes the service; raises `Forbidden` unless the key may. Without keys all may."""
    if not request.state.admin:
        raise Forbidden("this key may not administrate", hint=f"use one marked 'admin', or HOPFIX_API_KEY ({DEFAULT})")


def allow_pages(app: Starlette, origins: frozenset[str]) -> None:
    """Lets pages of these origins call from a browser; none may unless they are named.

    Any header may be sent, since libraries have their own; cookies are of no use here and stay at home.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(origins),
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=(HEADER, "Retry-After"),
        )
