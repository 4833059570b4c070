"""Reads a request's JSON within the limit on its size."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from service.errors import BodyTooSlow, ClientGone, NotJSON, TooLarge

# A client that is still sending when the connection closes may never see why. So a little more is read and dropped.
_DROPPED = 16 << 20
SECONDS = 30.0  # the most time for a body; meanwhile the request holds no place


async def read_json(request: Request, limit: int) -> Any:
    """The body's value; raises `TooLarge`, `BodyTooSlow`, `NotJSON` or `ClientGone`."""
    body = bytearray()
    size = 0
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    body += chunk
                elif size > limit + _DROPPED:
                    break
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {SECONDS:g} seconds", hint="send it faster") from None
    except ClientDisconnect:
        raise ClientGone("the client closed the connection in the middle of the body") from None
    if size > limit:
        raise TooLarge(f"the body is larger than {limit} bytes", hint="send fewer questions at once")
    try:
        return json.loads(body.decode())
    except UnicodeDecodeError:
        raise NotJSON("the body is not UTF-8", hint="send UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise NotJSON(f"the body is not JSON ({where})", hint='send an object such as {"question": "..."}') from None
    except (ValueError, RecursionError):
        raise NotJSON("the body is JSON that cannot be read", hint="numbers are too long or lists too deep") from None
