"""Reads a request's JSON within the limit on its size."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from service.errors import NotJSON, TooLarge

# A client that is still sending when the connection closes may never see why. So a little more is read and dropped.
_DROPPED = 16 << 20


async def read_json(request: Request, limit: int) -> Any:
    """The body's value; raises `TooLarge` or `NotJSON`."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > limit + _DROPPED:
            break
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
