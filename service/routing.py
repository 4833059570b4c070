"""Routes whose requests need a place: while there is none to be had, that is said before a request is read.

An overloaded service refuses more than it answers, and what a refusal costs is taken from the answers: here it is a
fraction of what reading a body and resolving a route's dependencies cost.
"""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.security import authenticate
from service.state import State


class Placed(APIRoute):
    """Raises `Overloaded` for a client who would not get a place, as `state.reserve` does later."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: State = scope["app"].state.hopfix
        if state.admission.full and scope["method"] == "POST":
            request = Request(scope)
            await authenticate(request, state)
            state.admission.check(request.state.client)
        await super().handle(scope, receive, send)
