"""Requests that need a place: while there is none to be had, that is said before a request is read.

An overloaded service refuses more than it answers, and what a refusal costs is taken from the answers: here it is a
fraction of what finding a route, reading a body and resolving dependencies cost.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from correction.errors import HopfixError
from service.errors import error_body, error_headers, rule_for
from service.security import authenticate
from service.state import State


class Placed(APIRoute):
    """A route whose requests need a place."""


class Refuse:
    """Pure ASGI, around all routes. Says `Overloaded` to a client who would not get a place."""

    def __init__(self, app: ASGIApp, state: State, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._state = state
        self._routes = {route.path: route for route in routes if isinstance(route, Placed)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._state.admission.full and scope["type"] == "http" and scope["method"] == "POST":
            error = await self._refused(scope)
            if error is not None:
                await refusal(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _refused(self, scope: Scope) -> HopfixError | None:
        route = self._routes.get(scope["path"])
        if route is None:
            return None
        scope["route"] = route  # by which it is counted
        request = Request(scope)
        try:
            await authenticate(request, self._state)
            self._state.admission.check(request.state.client)
        except HopfixError as error:
            return error
        return None


def refusal(error: HopfixError) -> JSONResponse:
    """An error as clients see it."""
    return JSONResponse(error_body(error), rule_for(error).status, error_headers(error))
